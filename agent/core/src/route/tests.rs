use proptest::prelude::*;

use super::*;

/// `bucket/prefix` on each side.
fn route(from: &str, to: &str) -> Route {
    let (source_bucket, source_prefix) = from.split_once('/').unwrap_or((from, ""));
    let (bucket, prefix) = to.split_once('/').unwrap_or((to, ""));
    Route {
        source_bucket: (source_bucket != "*").then(|| source_bucket.into()),
        source_prefix: source_prefix.into(),
        bucket: bucket.into(),
        prefix: prefix.into(),
        strip_prefix: false,
        options: Default::default(),
    }
}

fn stripped(from: &str, to: &str) -> Route {
    Route { strip_prefix: true, ..route(from, to) }
}

fn new(routes: &[Route]) -> Result<Router, RouteError> {
    Router::new(routes.to_vec(), IgnoreList::default())
}

fn place(text: &str) -> Location {
    let (bucket, key) = text.split_once('/').unwrap();
    Location::new(bucket, key)
}

fn sent(router: &Router, from: &str) -> Option<String> {
    goes(router.decide(&place(from), None))
}

fn goes(decision: RouteDecision) -> Option<String> {
    match decision {
        RouteDecision::Copy { destination, .. } => Some(destination.to_string()),
        _ => None,
    }
}

#[test]
fn the_destination_key_is_prefix_and_source_key_byte_for_byte() {
    let router = new(&[route("s", "d/p")]).unwrap();
    for key in ["a", "/abs", "a//b", "../up", "a/./b", "./", "ä+%20", "p/"] {
        assert_eq!(sent(&router, &format!("s/{key}")), Some(format!("d/p/{key}")), "{key}");
    }
}

#[test]
fn bucket_pairs_are_taken_where_a_message_asks_for_just_what_they_yield() {
    let router = new(&[route("*", "default")]).unwrap();
    let router = router.with_pairs(BucketPairs::Known(vec![route("s/p", "d/x"), route("s/p", "e")]));
    assert_eq!(sent(&router, "s/p/k").as_deref(), Some("default/p/k"), "an event goes where events go");
    let to = |wanted: &str| goes(router.decide(&place("s/p/k"), Some(&place(wanted))));
    for wanted in ["d/x/p/k", "e/p/k", "default/p/k"] {
        assert_eq!(to(wanted).as_deref(), Some(wanted));
    }
    for outside in ["d/x/p/other", "d/p/k", "f/p/k"] {
        assert_eq!(to(outside), None, "{outside}");
    }
    assert_eq!(router.source_of(&place("d/x/p/k")), Some(place("s/p/k")));
}

#[test]
fn fault_c8_pairs_that_lead_into_one_place_are_served_and_named() {
    let pairs = vec![route("photos", "dst"), route("second", "dst"), route("photos", "other")];
    let router = new(&[]).unwrap().with_pairs(BucketPairs::Known(pairs));
    let merged: Vec<_> = router.merged().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    assert_eq!(merged, [("photos/ → dst/".to_owned(), "second/ → dst/".to_owned())]);
    for source in ["photos", "second"] {
        let wanted = place("dst/k");
        assert_eq!(goes(router.decide(&place(&format!("{source}/k")), Some(&wanted))).as_deref(), Some("dst/k"));
    }
}

#[test]
fn jobs_wait_for_pairs_that_could_not_be_read_and_events_do_not() {
    let router = new(&[route("s", "default")]).unwrap().with_pairs(BucketPairs::Unavailable);
    assert_eq!(router.decide(&place("s/k"), Some(&place("d/k"))), RouteDecision::Pending);
    assert_eq!(goes(router.decide(&place("s/k"), Some(&place("default/k")))).as_deref(), Some("default/k"));
    assert_eq!(sent(&router, "s/k").as_deref(), Some("default/k"));
    assert!(matches!(router.decide(&place("t/k"), None), RouteDecision::NotRouted(_)), "an event that no route takes");
}

#[test]
fn a_jobsenders_destination_is_followed_only_under_the_sources_own_key() {
    let (list, _) = IgnoreList::parse(b"s/private/*");
    let options = CopyOptions { acl: Some("private".into()), ..CopyOptions::default() };
    let router = new(&[route("t", "default")]).unwrap().with_ignore_list(list).with_pairs(BucketPairs::Denied);
    let router = router.with_followed(options.clone().into());
    let to = |source: &str, wanted: &str| router.decide(&place(source), Some(&place(wanted)));
    assert_eq!(goes(to("s/a/k", "d/x/a/k")).as_deref(), Some("d/x/a/k"));
    assert_eq!(goes(to("s/a/k", "d/a/k")).as_deref(), Some("d/a/k"));
    assert!(matches!(to("s/a/k", "d/a/k"), RouteDecision::Copy { options: with, .. } if *with == options));
    for other in ["d/x/victim", "d/a", "s/a/k"] {
        assert!(matches!(to("s/a/k", other), RouteDecision::NotRouted(_)), "{other}");
    }
    assert!(matches!(to("s/private/k", "d/private/k"), RouteDecision::Ignored { .. }));
}

#[test]
fn a_source_prefix_without_a_slash_is_a_folder() {
    let router = new(&[route("s/sp", "d"), stripped("t/sp", "e/x/")]).unwrap();
    assert_eq!(sent(&router, "s/sp/a").as_deref(), Some("d/sp/a"));
    assert_eq!(sent(&router, "t/sp/a").as_deref(), Some("e/x/a"));
    for other in ["s/sp2/a", "s/sp", "s/a"] {
        assert_eq!(
            router.decide(&place(other), None),
            RouteDecision::NotRouted(NotRouted::Prefix("s".into())),
            "{other}"
        );
    }
    assert_eq!(router.decide(&place("u/sp/a"), None), RouteDecision::NotRouted(NotRouted::Bucket("u".into())));
}

#[test]
fn a_key_that_would_be_empty_is_not_routed() {
    let router = new(&[stripped("s/sp", "d")]).unwrap();
    assert_eq!(router.decide(&place("s/sp/"), None), RouteDecision::NotRouted(NotRouted::EmptyKey));
    assert_eq!(router.decide(&place("s/sp/"), Some(&place("d/"))), RouteDecision::NotRouted(NotRouted::EmptyKey));
}

#[test]
fn the_most_special_route_decides() {
    let cold = CopyOptions { storage_class: Some("COLDLINE".into()), ..CopyOptions::default() };
    let cold = Route { options: cold.into(), ..route("s/raw", "d") };
    let router = new(&[route("s", "d"), cold]).unwrap();
    let class = |key: &str| match router.decide(&place(key), None) {
        RouteDecision::Copy { options, .. } => options.storage_class.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((class("s/raw/x").as_deref(), class("s/x")), (Some("COLDLINE"), None));
}

/// In the order of the routes, then of the pairs; the most special route before others, as for events.
#[test]
fn one_destination_of_a_source_is_its_first_whatever_the_pairs() {
    let firsts = |router: &Router, source: &str| {
        let places = ["default/p/k", "d/x/p/k", "e/p/k", "source/p/k"];
        let first = places.into_iter().filter(|to| router.is_first(&place(source), &place(to)));
        first.collect::<Vec<_>>()
    };
    let pairs = vec![route("s/p", "d/x"), route("s/p", "e")];
    let events = new(&[route("*", "default")]).unwrap();
    assert_eq!(firsts(&events, "s/p/k"), ["default/p/k"]);
    assert_eq!(
        firsts(&events.with_pairs(BucketPairs::Known(pairs.clone())), "s/p/k"),
        ["default/p/k"],
        "with the pairs as without"
    );
    let alone = new(&[route("other", "default")]).unwrap().with_pairs(BucketPairs::Known(pairs.clone()));
    assert_eq!(firsts(&alone, "s/p/k"), ["d/x/p/k"], "the first pair, where no route takes the source");
    let turned = new(&[]).unwrap().with_pairs(BucketPairs::Known(pairs.into_iter().rev().collect()));
    assert_eq!(firsts(&turned, "s/p/k"), ["e/p/k"]);
    assert!(firsts(&turned, "t/p/k").is_empty());
}

#[test]
fn routes_that_could_meet_are_refused() {
    let overlaps = |a: Route, b: Route| matches!(new(&[a, b]), Err(RouteError::Overlap(..)));
    assert!(overlaps(route("a", "d"), route("b", "d")));
    assert!(overlaps(route("a", "d/p"), route("b", "d/p/q")));
    assert!(overlaps(route("a", "d"), route("b/x", "d/p")));
    assert!(overlaps(route("a", "d"), stripped("a/x", "d/y")));
    assert!(!overlaps(route("a", "d/p"), route("b", "d/p2")));
    assert!(!overlaps(route("a", "d"), route("b", "e")));
    assert!(!overlaps(route("a/x", "d"), route("b/y", "d")));
    assert!(!overlaps(route("a", "d"), route("a/x", "d")));
    assert!(!overlaps(route("a", "d"), stripped("a/x", "d/x")));
    assert!(matches!(new(&[route("a/x", "d"), route("a/x/", "e")]), Err(RouteError::SameSource(..))));
    assert!(matches!(new(&[route("*", "d"), route("a", "e")]), Err(RouteError::AnyBucketAmongOthers(_))));
}

#[test]
fn a_place_that_a_special_route_vacates_may_be_anothers() {
    let router = new(&[route("a", "d"), route("a/x", "e"), route("b", "d/x")]).unwrap();
    assert_eq!(sent(&router, "b/k").as_deref(), Some("d/x/k"));
    assert_eq!(sent(&router, "a/x/k").as_deref(), Some("e/x/k"));
    // What b yields cannot be reached by a message about a, though it lies under a's destination.
    let to = place("d/x/k");
    assert_eq!(router.decide(&place("a/k"), Some(&to)), RouteDecision::NotRouted(NotRouted::Destination(to)));
}

#[test]
fn a_message_chooses_only_among_its_routes_destinations() {
    let router = new(&[route("s/in", "d/p"), route("t", "e")]).unwrap();
    let to = |wanted: &str| goes(router.decide(&place("s/in/k"), Some(&place(wanted))));
    assert_eq!(to("d/p/in/k").as_deref(), Some("d/p/in/k"));
    assert_eq!(to("d/p/elsewhere").as_deref(), Some("d/p/elsewhere"));
    for wanted in ["d/p", "d/p/", "d/p2/k", "d/k", "e/k", "x/p/k"] {
        assert_eq!(to(wanted), None, "{wanted}");
    }
    assert_eq!(goes(router.decide(&place("s/out/k"), Some(&place("d/p/k")))), None);
    assert_eq!(goes(router.decide(&place("u/k"), Some(&place("d/p/k")))), None);
}

#[test]
fn without_routes_any_bucket_goes_to_the_destination() {
    let router = new(&[route("*", "d/p")]).unwrap();
    assert_eq!(sent(&router, "whatever/k").as_deref(), Some("d/p/k"));
    assert_eq!(goes(router.decide(&place("w/k"), Some(&place("d/k")))), None);
}

#[test]
fn an_ignored_object_says_which_rule() {
    let (ignore, _) = IgnoreList::parse(b"# x\ns/tmp/*");
    let router = Router::new(vec![route("s", "d")], ignore).unwrap();
    assert!(
        matches!(router.decide(&place("s/tmp/a"), None), RouteDecision::Ignored { rule, destination } if rule.line == 2 && destination == place("d/tmp/a"))
    );
    assert!(matches!(router.decide(&place("u/tmp/a"), None), RouteDecision::NotRouted(_)));
}

#[test]
fn a_route_into_its_own_source_is_seen() {
    assert_eq!(new(&[route("s", "s/copy")]).unwrap().copy_loops().count(), 1);
    assert_eq!(new(&[route("s/in", "s/out")]).unwrap().copy_loops().count(), 0);
    assert_eq!(new(&[route("a", "b"), route("b", "a")]).unwrap().copy_loops().count(), 2);
    assert_eq!(new(&[route("*", "d")]).unwrap().copy_loops().count(), 1);
}

fn any_route() -> impl Strategy<Value = Route> {
    ("[st]", "[ab]{0,1}(/[ab]){0,2}", "[de]", "[ab]{0,1}(/[ab]){0,2}", any::<bool>()).prop_map(
        |(sb, sp, b, p, strip)| Route { strip_prefix: strip, ..route(&format!("{sb}/{sp}"), &format!("{b}/{p}")) },
    )
}

fn sources() -> impl Strategy<Value = Vec<Location>> {
    proptest::collection::vec(("[st]", "[ab/]{1,6}").prop_map(|(b, k)| Location::new(b, k.as_str())), 2..60)
}

proptest! {
    #[test]
    fn two_sources_never_share_a_destination(routes in proptest::collection::vec(any_route(), 1..4), sources in sources()) {
        let Ok(router) = new(&routes) else { return Ok(()) };
        let mut taken = std::collections::HashMap::new();
        for source in sources {
            if let Some(to) = goes(router.decide(&source, None)) {
                let earlier = taken.insert(to.clone(), source.clone());
                prop_assert!(earlier.is_none_or(|e| e == source), "{to}");
            }
        }
    }

    #[test]
    fn only_routes_that_meet_are_refused(a in any_route(), b in any_route()) {
        // A refusal shows its reason: some destination that both yield.
        if let Err(RouteError::Overlap(a, b)) = new(&[a, b]) {
            let (image_a, image_b) = (a.image(), b.image());
            let top = if image_a.len() > image_b.len() { image_a } else { image_b };
            let alone = |r: &Route| Router::new(vec![r.clone()], IgnoreList::default()).unwrap();
            let place = Location::new(a.bucket.clone(), Key::new(top));
            prop_assert!(alone(&a).is_overridden(&a, &place) && alone(&b).is_overridden(&b, &place));
        }
    }

    #[test]
    fn nothing_leaves_its_destination_prefix(route in any_route(), key in proptest::collection::vec(any::<u8>(), 1..30),
                                             wanted in "[ab/]{0,6}") {
        let router = new(&[route]).unwrap();
        let route = &router.routes()[0];
        let source = Location::new(route.source_bucket.clone().unwrap(),
                                   Key::new([route.source_prefix.as_bytes(), &key].concat()));
        for wanted in [None, Some(Location::new(route.bucket.clone(), wanted.as_str()))] {
            if let RouteDecision::Copy { destination, .. } = router.decide(&source, wanted.as_ref()) {
                prop_assert_eq!(&destination.bucket, &route.bucket);
                prop_assert!(destination.key.as_bytes().starts_with(route.prefix.as_bytes()));
                if wanted.is_none() {
                    prop_assert!(destination.key.as_bytes().ends_with(&key));
                }
            }
        }
    }

    #[test]
    fn a_wanted_destination_is_never_another_sources(routes in proptest::collection::vec(any_route(), 1..4),
                                                     sources in sources(), wanted in sources()) {
        // With several buckets' routes: what one bucket's message may ask for, no other bucket's event yields.
        let Ok(router) = new(&routes) else { return Ok(()) };
        let events: Vec<_> = sources.iter().filter_map(|s| Some((goes(router.decide(s, None))?, s.bucket.clone()))).collect();
        for (source, place) in sources.iter().zip(wanted) {
            for bucket in ["d", "e"] {
                let place = Location::new(bucket, place.key.clone());
                if let Some(to) = goes(router.decide(source, Some(&place))) {
                    prop_assert!(events.iter().all(|(other, from)| *other != to || *from == source.bucket));
                }
            }
        }
    }
}
