//! Where an object goes: the allow-list of routes, the mapping of keys, and the rules that leave objects out.
//!
//! Keys are sacred. A destination key is prefix + source key, byte for byte: nothing is joined, cleaned or decoded, so two
//! source keys never meet in one destination key, and none leaves the destination prefix. That needs the routes' images
//! (the sets of destinations that they can yield) to be disjoint, which [`Router::new`] demands.

mod ignore;
mod live;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::model::{Key, Location};
use crate::store::CopyOptions;

pub use ignore::{IgnoreList, IgnoreRule, IgnoreWarning, glob};
pub use live::LiveRoutes;

/// One line of the allow-list. Prefixes are bytes; one that is neither empty nor ends in `/` gets a `/` by
/// [`Router::new`]: `sp` means `sp/…` and never `sp2/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `None`: any bucket. Only where it is the one route there is.
    pub source_bucket: Option<Arc<str>>,
    /// Only keys in this folder; empty: all.
    pub source_prefix: Key,
    /// The destination's bucket.
    pub bucket: Arc<str>,
    /// What comes before each key; empty, or it ends in `/`.
    pub prefix: Key,
    /// Takes `source_prefix` off before `prefix` is put on.
    pub strip_prefix: bool,
    /// How its copies are stored.
    pub options: Arc<CopyOptions>,
}

impl Route {
    fn covers(&self, source: &Location) -> bool {
        self.source_bucket.as_ref().is_none_or(|bucket| *bucket == source.bucket)
            && source.key.as_bytes().starts_with(self.source_prefix.as_bytes())
    }

    /// Every destination key of this route begins with it, and every key that does is the image of one source key.
    fn image(&self) -> Vec<u8> {
        self.map(self.source_prefix.as_bytes())
    }

    /// The destination's key. `key` begins with the source prefix.
    pub fn map(&self, key: &[u8]) -> Vec<u8> {
        let rest =
            if self.strip_prefix { key.get(self.source_prefix.as_bytes().len()..).unwrap_or_default() } else { key };
        [self.prefix.as_bytes(), rest].concat()
    }

    /// What it takes: `bucket/prefix`, or `*/` for any bucket.
    pub fn source_name(&self) -> String {
        format!("{}/{}", self.source_bucket.as_deref().unwrap_or("*"), self.source_prefix)
    }

    fn maps_to(&self, source: &Location, destination: &Location) -> bool {
        self.covers(source)
            && self.bucket == destination.bucket
            && self.map(source.key.as_bytes()) == destination.key.as_bytes()
    }

    /// Where a more special route takes keys out of this one: the part of the image that this one never yields.
    fn carved_out(&self, other: &Route) -> Option<Vec<u8>> {
        let (ours, theirs) = (self.source_prefix.as_bytes(), other.source_prefix.as_bytes());
        let special =
            self.source_bucket == other.source_bucket && theirs.len() > ours.len() && theirs.starts_with(ours);
        special.then(|| self.map(theirs))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}/{}", self.source_name(), self.bucket, self.prefix)
    }
}

/// What becomes of one source object.
#[allow(missing_docs)] // what a field is, its variant says
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteDecision {
    /// It is sent there.
    Copy {
        destination: Location,
        /// See [`Route::options`].
        options: Arc<CopyOptions>,
    },
    /// Left out by this rule of the ignore list: Skipped.
    Ignored {
        rule: IgnoreRule,
        /// Where it would have gone.
        destination: Location,
    },
    /// Outside the allow-list, or sent to a place outside it: parked, with this reason.
    NotRouted(NotRouted),
    /// Only the bucket pairs could allow it, and they could not be read so far: kept until they are.
    Pending,
}

/// What is known of the predecessors' bucket pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketPairs {
    /// These. None, where the settings name no list.
    Known(Vec<Route>),
    /// The settings name a list that could not be read so far.
    Unavailable,
    /// This machine may not read the list, as the predecessors' worker could not: a jobsender's message is followed, if its
    /// destination's key ends in the source's, as every pair would have made it.
    Denied,
}

/// Why no route takes an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRouted {
    /// No route is of this bucket.
    #[error("no route takes objects of the bucket {0}")]
    Bucket(Arc<str>),
    /// No route of the bucket takes the key.
    #[error("no route of the bucket {0} has a source_prefix that this key begins with")]
    Prefix(Arc<str>),
    #[error(
        "the key is empty at the destination (it is the route's source_prefix itself, and strip_prefix takes that off)"
    )]
    /// A key without a name cannot be at the top of a bucket.
    EmptyKey,
    /// No route leads to the destination that was asked for.
    #[error("the message asks for {0}, which is outside the routes of its source")]
    Destination(Location),
}

/// Why a set of routes cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Two routes of one source.
    #[error("the routes {0} and {1} take the same source prefix")]
    SameSource(Box<Route>, Box<Route>),
    /// Two routes whose destinations overlap.
    #[error("the routes {0} and {1} overlap at the destination: an object of one could replace one of the other")]
    Overlap(Box<Route>, Box<Route>),
    /// A route of any bucket stands alone.
    #[error("the route {0} takes any bucket, so it must be the only one")]
    AnyBucketAmongOthers(Box<Route>),
}

/// The routes and the ignore list, ready to decide.
///
/// ```
/// use skyferry_core::model::Location;
/// use skyferry_core::route::{IgnoreList, Route, RouteDecision, Router};
///
/// let route = Route {
///     source_bucket: Some("photos".into()),
///     source_prefix: "2026".into(),
///     bucket: "copies".into(),
///     prefix: "backup".into(),
///     strip_prefix: false,
///     options: Default::default(),
/// };
/// let router = Router::new(vec![route], IgnoreList::default())?;
/// let RouteDecision::Copy { destination, .. } = router.decide(&Location::new("photos", "2026/a.jpg"), None) else {
///     panic!("not copied")
/// };
/// assert_eq!(destination, Location::new("copies", "backup/2026/a.jpg"));
/// assert!(matches!(router.decide(&Location::new("photos", "2027/a.jpg"), None), RouteDecision::NotRouted(_)));
/// # Ok::<(), skyferry_core::route::RouteError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// The longest source prefix first: the most special route decides.
    routes: Vec<Route>,
    /// Taken only where a message asks for just what one of them yields.
    pairs: BucketPairs,
    /// How what no route and no pair takes is stored, where a message alone names the destination.
    followed: Arc<CopyOptions>,
    ignore: IgnoreList,
}

impl Router {
    /// Two routes overlap when some destination is the image of a source key of each. Images are cones (all keys with a
    /// prefix), less the cones that more special routes of the same bucket and prefix take out: so `photos/ → d/` and
    /// `photos/raw/ → d/` with another storage class go together, and `photos/ → d/` and `docs/ → d/` do not.
    pub fn new(routes: Vec<Route>, ignore: IgnoreList) -> Result<Router, RouteError> {
        let mut routes: Vec<Route> = routes.into_iter().map(normalized).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.source_prefix.as_bytes().len()));
        if let (Some(any), true) = (routes.iter().find(|r| r.source_bucket.is_none()), routes.len() > 1) {
            return Err(RouteError::AnyBucketAmongOthers(Box::new(any.clone())));
        }
        for (i, a) in routes.iter().enumerate() {
            for b in &routes[i + 1..] {
                if a.source_bucket == b.source_bucket && a.source_prefix == b.source_prefix {
                    return Err(RouteError::SameSource(Box::new(a.clone()), Box::new(b.clone())));
                }
                if overlap(a, b, &routes) {
                    return Err(RouteError::Overlap(Box::new(a.clone()), Box::new(b.clone())));
                }
            }
        }
        Ok(Router { routes, pairs: BucketPairs::Known(Vec::new()), followed: Arc::default(), ignore })
    }

    /// With these patterns.
    #[must_use]
    pub fn with_ignore_list(self, ignore: IgnoreList) -> Router {
        Router { ignore, ..self }
    }

    /// What a message that is followed without a route is stored with.
    #[must_use]
    pub fn with_followed(self, followed: Arc<CopyOptions>) -> Router {
        Router { followed, ..self }
    }

    /// Beside the routes, for the predecessors' messages, which name their destination: what one of these pairs yields is
    /// taken, and nothing else. One source may have several pairs. Two sources with a common destination are
    /// [`Router::merged`].
    pub fn with_pairs(self, pairs: BucketPairs) -> Router {
        // Their jobsender listed by the prefix as it stands: `2024-` takes `2024-01/a`.
        let whole = |pair: Route| Route { prefix: with_slash(pair.prefix.clone()), ..pair };
        let pairs = match pairs {
            BucketPairs::Known(pairs) => BucketPairs::Known(pairs.into_iter().map(whole).collect()),
            other => other,
        };
        Router { pairs, ..self }
    }

    /// Pairs of different sources that lead into one place, as the predecessors allowed: whether an object of one replaces
    /// one of the other is up to their keys. (An object of another source is never replaced: its copy names its source.)
    pub fn merged(&self) -> impl Iterator<Item = (&Route, &Route)> {
        let pairs = self.pairs();
        let same = |a: &Route, b: &Route| a.source_bucket == b.source_bucket && a.source_prefix == b.source_prefix;
        pairs.iter().enumerate().flat_map(move |(i, a)| {
            pairs[i + 1..].iter().filter(move |b| !same(a, b) && overlap(a, b, pairs)).map(move |b| (a, b))
        })
    }

    /// Decides for one source object. `wanted` is the message's own destination (a jobsender's), which is taken only where
    /// it equals what a route yields, or lies in the bucket and prefix of a route that takes this source, outside the
    /// images of all routes that do not: a message cannot choose a destination outside its routes.
    pub fn decide(&self, source: &Location, wanted: Option<&Location>) -> RouteDecision {
        let Some(wanted) = wanted else { return self.by_routes(source, None) };
        if let Some(pair) = self.pairs().iter().find(|pair| pair.maps_to(source, wanted)) {
            return self.ignored(source, wanted.clone()).unwrap_or_else(|| pair.copy_to(wanted.clone()));
        }
        match (self.by_routes(source, Some(wanted)), &self.pairs) {
            (RouteDecision::NotRouted(_), BucketPairs::Unavailable) => RouteDecision::Pending,
            (RouteDecision::NotRouted(_), BucketPairs::Denied) if is_from_jobsender(source, wanted) => {
                let go = || RouteDecision::Copy { destination: wanted.clone(), options: self.followed.clone() };
                self.ignored(source, wanted.clone()).unwrap_or_else(go)
            }
            (decision, _) => decision,
        }
    }

    fn by_routes(&self, source: &Location, wanted: Option<&Location>) -> RouteDecision {
        let mut covering = self.routes.iter().filter(|route| route.covers(source)).peekable();
        let Some(&first) = covering.peek() else {
            let known = self.routes.iter().any(|r| r.source_bucket.as_ref() == Some(&source.bucket));
            let bucket = source.bucket.clone();
            return RouteDecision::NotRouted(if known { NotRouted::Prefix(bucket) } else { NotRouted::Bucket(bucket) });
        };
        let key = first.map(source.key.as_bytes());
        let mapped = || Location::new(first.bucket.clone(), Key::new(key.clone()));
        if let Some(ignored) = self.ignored(source, wanted.cloned().unwrap_or_else(mapped)) {
            return ignored;
        }
        let Some(wanted) = wanted.filter(|w| *w.bucket != *first.bucket || w.key.as_bytes() != key) else {
            if key.is_empty() {
                return RouteDecision::NotRouted(NotRouted::EmptyKey);
            }
            return first.copy_to(mapped());
        };
        let foreign = self.routes.iter().any(|route| !route.covers(source) && self.is_overridden(route, wanted));
        let host = covering.find(|r| r.bucket == wanted.bucket && is_below(wanted.key.as_bytes(), r.prefix.as_bytes()));
        match host {
            Some(host) if !foreign => host.copy_to(wanted.clone()),
            _ => RouteDecision::NotRouted(NotRouted::Destination(wanted.clone())),
        }
    }

    /// The route that takes an object by its source alone, the most special one; else the first pair that does.
    pub fn route_of(&self, source: &Location) -> Option<&Route> {
        self.routes.iter().chain(self.pairs()).find(|route| route.covers(source))
    }

    /// Whether this is the first destination of its source, whose ledger record has the predecessors' key: the one of its
    /// events; where no route takes the source, the one of the first pair that does. Settings alone decide it, so every
    /// agent and every message agree. Routes come before pairs because pairs are read from elsewhere at run time: an agent
    /// that could not read them, or has older ones, names the same record.
    pub fn is_first(&self, source: &Location, destination: &Location) -> bool {
        self.route_of(source).is_some_and(|route| route.maps_to(source, destination))
    }

    fn ignored(&self, source: &Location, destination: Location) -> Option<RouteDecision> {
        self.ignore.matches(source).map(|rule| RouteDecision::Ignored { rule: rule.clone(), destination })
    }

    /// The source object that is copied to this place, where there is exactly one: not with a route for any bucket.
    pub fn source_of(&self, destination: &Location) -> Option<Location> {
        self.routes.iter().chain(self.pairs()).find_map(|route| {
            let bucket = route.source_bucket.clone().filter(|_| route.bucket == destination.bucket)?;
            let rest = destination.key.as_bytes().strip_prefix(route.prefix.as_bytes())?;
            let key = if route.strip_prefix { [route.source_prefix.as_bytes(), rest].concat() } else { rest.to_vec() };
            let source = Location { bucket, key: Key::new(key) };
            let decision = self.decide(&source, Some(destination));
            matches!(decision, RouteDecision::Copy { destination: to, .. } if to == *destination).then_some(source)
        })
    }

    /// The routes, most special first, their prefixes completed.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether jobs wait for bucket pairs, or are followed without: `None` where the pairs are known.
    pub fn without_pairs(&self) -> Option<&BucketPairs> {
        (!matches!(self.pairs, BucketPairs::Known(_))).then_some(&self.pairs)
    }

    /// See [`Router::with_pairs`]. Empty also while they are not known.
    pub fn pairs(&self) -> &[Route] {
        match &self.pairs {
            BucketPairs::Known(pairs) => pairs,
            BucketPairs::Unavailable | BucketPairs::Denied => &[],
        }
    }

    /// Routes whose destination is a source again, so that one object would be copied for ever, if both sides are the
    /// same service. Only the caller knows whether they are.
    pub fn copy_loops(&self) -> impl Iterator<Item = (&Route, &Route)> {
        let meets = |a: &Route, b: &Route| {
            let image = a.image();
            let taken = b.source_prefix.as_bytes();
            b.source_bucket.as_ref().is_none_or(|bucket| *bucket == a.bucket)
                && (image.starts_with(taken) || taken.starts_with(&image))
        };
        let all = || self.routes.iter().chain(self.pairs());
        all().flat_map(move |a| all().filter(move |b| meets(a, b)).map(move |b| (a, b)))
    }

    fn is_overridden(&self, route: &Route, place: &Location) -> bool {
        let key = place.key.as_bytes();
        route.bucket == place.bucket
            && key.starts_with(&route.image())
            && !self.routes.iter().filter_map(|other| route.carved_out(other)).any(|hole| key.starts_with(&hole))
    }
}

impl Route {
    fn copy_to(&self, destination: Location) -> RouteDecision {
        RouteDecision::Copy { destination, options: self.options.clone() }
    }
}

/// Whether a message is one that the predecessors' jobsender could have sent: to another place, under the source's own key,
/// whatever stands before it.
fn is_from_jobsender(source: &Location, wanted: &Location) -> bool {
    source != wanted && !wanted.bucket.is_empty() && wanted.key.as_bytes().ends_with(source.key.as_bytes())
}

/// Strictly more than the prefix: the prefix itself is not an object under it, but where it is empty.
fn is_below(key: &[u8], prefix: &[u8]) -> bool {
    key.len() > prefix.len() && key.starts_with(prefix)
}

fn normalized(mut route: Route) -> Route {
    route.source_prefix = with_slash(route.source_prefix);
    route.prefix = with_slash(route.prefix);
    route
}

/// `sp` is `sp/`; empty stays empty.
fn with_slash(prefix: Key) -> Key {
    match prefix.as_bytes().last() {
        None | Some(b'/') => prefix,
        Some(_) => Key::new([prefix.as_bytes(), b"/"].concat()),
    }
}

/// The images meet unless the deeper cone lies wholly in a hole of the other route. (Cones that only together cover a
/// cone need not be looked for: its own top, the shortest key in it, lies in none of them.)
fn overlap(a: &Route, b: &Route, all: &[Route]) -> bool {
    let (image_a, image_b) = (a.image(), b.image());
    let (outer, deep) = if image_b.starts_with(&image_a) {
        (a, &image_b)
    } else if image_a.starts_with(&image_b) {
        (b, &image_a)
    } else {
        return false;
    };
    a.bucket == b.bucket && !all.iter().filter_map(|other| outer.carved_out(other)).any(|hole| deep.starts_with(&hole))
}
