//! The requests that an odd answer can meet, one line each, and what makes an agent send them.

use sandbox::Operation;

use crate::answers::Fits;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The object has changed at the source.
    Change { large: bool },
    /// It has been deleted there.
    Remove,
    /// An upload of it was left open by an earlier writer: of the same state, or of an older one.
    Resume { stale: bool },
    /// The source's keys are listed, as tools do.
    List,
    /// The janitor sweeps.
    Sweep,
}

/// One kind of request.
pub struct Request {
    pub name: &'static str,
    pub operation: Operation,
    /// At the source, else at the destination.
    pub source: bool,
    pub work: Work,
    /// The ledger knows the object, so that a look at the source is a HEAD.
    pub known: bool,
    /// The message has been received before, so that the destination is looked at.
    pub again: bool,
    pub tags: bool,
    pub answered: &'static [Fits],
}

use Fits::{All, Body, Bytes, Document, ETag, Listing, Range};
use Operation::{
    AbortUpload, CompleteUpload, CreateUpload, DeleteObject, GetObject, GetTags, HeadObject, ListObjects, ListParts,
    ListUploads, PutObject, UploadPart,
};
use Work::{Change, List, Remove, Resume, Sweep};

const SMALL: Work = Change { large: false };
const LARGE: Work = Change { large: true };
const PAGES: &[Fits] = &[All, Body, Document, Listing];
const DOCUMENT: &[Fits] = &[All, Body, Document];

const fn row(name: &'static str, operation: Operation, source: bool, work: Work, answered: &'static [Fits]) -> Request {
    Request { name, operation, source, work, known: true, again: false, tags: false, answered }
}

#[rustfmt::skip]
pub const REQUESTS: &[Request] = &[
    row("list",                  ListObjects,    true,  List,                    PAGES),
    row("list to confirm",       ListObjects,    true,  Remove,                  PAGES),
    row("head at the source",    HeadObject,     true,  SMALL,                   &[All, ETag]),
    Request { again: true, ..row("head at the destination", HeadObject, false, SMALL, &[All, ETag]) },
    Request { known: false, ..row("get", GetObject, true, SMALL, &[All, Body, Bytes, ETag]) },
    row("ranged get",            GetObject,      true,  LARGE,                   &[All, Body, Bytes, ETag, Range]),
    row("put",                   PutObject,      false, SMALL,                   &[All, Body, ETag]),
    row("initiate",              CreateUpload,   false, LARGE,                   DOCUMENT),
    row("part",                  UploadPart,     false, LARGE,                   &[All, Body, ETag]),
    row("list parts",            ListParts,      false, Resume { stale: false }, PAGES),
    row("complete",              CompleteUpload, false, LARGE,                   &[All, Body, Document, ETag]),
    row("abort",                 AbortUpload,    false, Resume { stale: true },  &[All, Body]),
    row("delete",                DeleteObject,   false, Remove,                  &[All, Body]),
    row("list uploads",          ListUploads,    false, Sweep,                   PAGES),
    Request { tags: true, ..row("tags", GetTags, true, SMALL, DOCUMENT) },
];
