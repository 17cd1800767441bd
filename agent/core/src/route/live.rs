//! The router as it is now. The lists behind it are read again while agents run; whoever decides takes what is there and holds
//! no lock while it works.

use std::sync::{Arc, PoisonError, RwLock};

use super::Router;

/// The router that holds now; it may be replaced while jobs run.
#[derive(Clone, Debug)]
pub struct LiveRoutes(Arc<RwLock<Arc<Router>>>);

impl LiveRoutes {
    /// Begins with this one.
    pub fn new(router: Router) -> LiveRoutes {
        LiveRoutes(Arc::new(RwLock::new(Arc::new(router))))
    }

    /// One decision and what follows from it are made by one of these.
    pub fn current(&self) -> Arc<Router> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Jobs that begin from now on take this one.
    pub fn replace(&self, router: Router) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(router);
    }
}
