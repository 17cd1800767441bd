//! Pages of a listing, of either end, fetched ahead by one: the next is on its way while this one is looked at.

use std::sync::Arc;

use skyferry_core::error::CopyError;
use skyferry_core::model::{Key, Location};
use skyferry_core::store::{ListFrom, Listed, Object, Page, Pin, Sink, Source};
use tokio::sync::mpsc;

use crate::key_encoding::KeyEncoding;
use crate::retry::RetryPolicy;

#[derive(Clone)]
pub enum ListedStore {
    Source(Arc<dyn Source>),
    Sink(Arc<dyn Sink>),
}

/// What to list.
#[derive(Clone)]
pub struct ListingTarget {
    pub end: ListedStore,
    pub bucket: String,
    pub prefix: Key,
    /// Each object with its newest version. Sources only.
    pub versions: bool,
}

impl ListingTarget {
    pub async fn list(&self, from: ListFrom<'_>) -> Result<Page, CopyError> {
        match &self.end {
            ListedStore::Source(source) if self.versions => {
                source.list_versions(&self.bucket, &self.prefix, from).await
            }
            ListedStore::Source(source) => source.list(&self.bucket, &self.prefix, from).await,
            ListedStore::Sink(sink) => sink.list(&self.bucket, &self.prefix, from).await,
        }
    }

    pub async fn head(&self, at: &Location) -> Result<Option<Object>, CopyError> {
        match &self.end {
            ListedStore::Source(source) => source.head(at, &Pin::Newest).await,
            ListedStore::Sink(sink) => sink.head(at).await,
        }
    }
}

/// A listing on its way; it ends with this value.
pub struct Pages(mpsc::Receiver<Result<Vec<Listed>, CopyError>>);

impl Pages {
    /// From the first key, or from the one after this.
    pub fn new(place: ListingTarget, after: Option<Key>, patience: RetryPolicy) -> Pages {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(fetch(place, after, patience, sender));
        Pages(receiver)
    }

    /// `None` at the end. Nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Vec<Listed>, CopyError>> {
        self.0.recv().await
    }
}

async fn fetch(
    place: ListingTarget,
    after: Option<Key>,
    patience: RetryPolicy,
    sender: mpsc::Sender<Result<Vec<Listed>, CopyError>>,
) {
    let (mut token, mut settled) = (None::<String>, false);
    let mut spelling = KeyEncoding::default();
    loop {
        let from = match (&token, &after) {
            (Some(token), _) => ListFrom::Token(token),
            (None, Some(key)) => ListFrom::After(key),
            (None, None) => ListFrom::Start,
        };
        let asked = tokio::select! {
            asked = patience.ask(settled, || place.list(from)) => asked,
            () = sender.closed() => return,
        };
        settled = true;
        let asked = match asked {
            Ok(page) => spelling.check(&place, &page.objects).await.map(|()| page),
            error => error,
        };
        let (page, next) = match asked {
            Ok(page) => (Ok(page.objects), page.next),
            Err(error) => (Err(error), None),
        };
        token = next;
        if sender.send(page).await.is_err() || token.is_none() {
            return;
        }
    }
}
