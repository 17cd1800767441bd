//! Requests on a bucket: listings of objects and uploads, and the delete of many keys.

use std::sync::Arc;

use super::{Asked, Gcs};
use crate::{
    listings,
    object::xml_text,
    refusal::{Failure, Refusal},
    server::Commit,
    xml,
};

impl Gcs {
    pub(super) fn list(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        Ok(Box::new(move || listings::objects(self.store(), &asked.call, true)))
    }

    pub(super) fn list_uploads(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        Ok(Box::new(move || listings::uploads(self.store(), &asked.call)))
    }

    pub(super) async fn delete_many(self: Arc<Self>, asked: Asked) -> Result<Commit, Failure> {
        let Asked { call, identity, mut body } = asked;
        if !self.options.multi_delete {
            return Err(Refusal::not_implemented("no delete of many keys here").into());
        }
        let text = xml_text(&call, &mut body, &identity.payload).await?;
        let (keys, quiet) = xml::delete(&text)?;
        Ok(Box::new(move || listings::delete_many(self.store(), &call, &keys, quiet)))
    }
}
