//! The one place that a probe writes to: a folder of its own under the probe prefix, of a random name, so that whatever is
//! found in it is this probe's and may be removed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skyferry_core::model::{Expected, Key, Location, Token, UploadId};
use skyferry_core::store::{ListFrom, Sink};

pub struct ProbeFolder {
    sink: Arc<dyn Sink>,
    bucket: Arc<str>,
    prefix: Key,
    left: Mutex<Left>,
}

/// What may be there.
#[derive(Default)]
struct Left {
    objects: BTreeSet<Location>,
    uploads: BTreeSet<(Location, UploadId)>,
}

impl ProbeFolder {
    /// `under`: where the route writes; then the probe prefix.
    pub fn new(sink: Arc<dyn Sink>, bucket: Arc<str>, under: &Key, prefix: &str) -> ProbeFolder {
        let prefix = [under.as_bytes(), prefix.as_bytes(), Token::random().to_string().as_bytes(), b"/"].concat();
        ProbeFolder::of(sink, bucket, Key::new(prefix))
    }

    /// One whose name is random already.
    pub fn of(sink: Arc<dyn Sink>, bucket: Arc<str>, prefix: Key) -> ProbeFolder {
        ProbeFolder { sink, bucket, prefix, left: Mutex::default() }
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    pub fn prefix(&self) -> &Key {
        &self.prefix
    }

    /// A place in it, which is looked after from now on.
    pub fn at(&self, name: &str) -> Location {
        let key = Key::new([self.prefix.as_bytes(), name.as_bytes()].concat());
        let at = Location { bucket: self.bucket.clone(), key };
        self.left().objects.insert(at.clone());
        at
    }

    /// The same key after a slash: beside the folder, and looked after as what is in it.
    pub fn behind_a_slash(&self, at: &Location) -> Location {
        let at = self.place(Key::new([b"/", at.key.as_bytes()].concat()));
        self.left().objects.insert(at.clone());
        at
    }

    /// Nothing was written there, for certain.
    pub fn forget(&self, at: &Location) {
        self.left().objects.remove(at);
    }

    pub fn remember_upload(&self, at: &Location, upload: &UploadId) {
        self.left().uploads.insert((at.clone(), upload.clone()));
    }

    /// Removes everything, also what is only found by looking: a request whose answer was lost. Gives what could not be.
    pub async fn clear(&self) -> Vec<String> {
        let (mut objects, mut uploads) = {
            let left = self.left();
            (left.objects.clone(), left.uploads.clone())
        };
        if let Ok(found) = self.sink.uploads(&self.bucket, &self.prefix).await {
            uploads.extend(found.into_iter().map(|upload| (self.place(upload.key), upload.id)));
        }
        let mut stays = Vec::new();
        for (at, upload) in uploads {
            if let Err(error) = self.sink.abort(&at, &upload).await {
                stays.push(format!("the upload {upload} of {at} ({error})"));
            }
        }
        if let Ok(page) = self.sink.list(&self.bucket, &self.prefix, ListFrom::Start).await {
            objects.extend(page.objects.into_iter().map(|object| self.place(object.key)));
        }
        for at in objects {
            // On a versioned bucket a deletion of nothing would leave a mark.
            let removed = match self.sink.head(&at).await {
                Ok(None) => continue,
                _ => self.sink.delete(&at, &Expected::Any).await,
            };
            if let Err(error) = removed {
                stays.push(format!("{at} ({error})"));
            }
        }
        stays
    }

    fn place(&self, key: Key) -> Location {
        Location { bucket: self.bucket.clone(), key }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
