//! One suite a trait, run over every implementation: what `store.rs`, `queue.rs` and `ledger.rs` of the agent promise.
//!
//! A fact is a function; a suite lists its facts once; an implementation is one line. A fact that is not listed is dead
//! code, and the compiler says so.

mod embedded;
mod ledger;
mod queue;

/// One test for each fact, on a fresh subject each.
macro_rules! facts {
    ($suite:ident, $name:ident, $make:path; $($fact:ident)*) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                crate::$suite::$fact($make().await).await;
            })*
        }
    };
}

macro_rules! a_queue {
    ($name:ident, $make:path) => {
        facts! { queue, $name, $make;
            a_sent_message_is_received_once_with_its_body_and_count
            a_batch_arrives_whole_whatever_its_size
            an_empty_batch_is_no_error
            a_message_that_nobody_ends_comes_back_when_its_visibility_ends
            a_released_message_is_delivered_again_at_once
            a_released_message_is_delivered_again_after_its_delay
            releasing_a_delivery_that_has_ended_is_no_error
            an_extended_message_stays_invisible
            extending_a_deleted_message_tells_that_the_lease_is_lost
            extending_a_delivery_whose_visibility_has_ended_tells_that_the_lease_is_lost
            a_deleted_message_never_comes_back
            a_renewed_message_is_a_new_one_with_a_fresh_count
            a_renewed_message_waits_for_its_delay
            parking_leaves_the_delivery_to_its_holder
            a_long_poll_sees_a_message_that_is_sent_meanwhile
            a_receive_that_finds_nothing_ends_with_its_wait
            two_receivers_never_hold_one_message
            depth_tells_visible_in_flight_and_delayed_apart
            a_receipt_that_was_never_given_is_refused
        }
    };
}

macro_rules! a_ledger {
    ($name:ident, $make:path) => {
        facts! { ledger, $name, $make;
            an_unknown_key_is_not_known_and_has_no_past
            what_was_published_is_told_to_the_next_writer
            beginning_makes_a_record_live_and_settling_ends_it
            finding_the_same_state_again_keeps_its_digests
            beginning_fences_every_earlier_writer
            others_that_are_open_are_told_until_they_are_closed
            a_finished_writer_can_do_no_more
            a_fenced_writer_that_ends_is_closed_but_settles_nothing
            a_writer_in_doubt_stays_open_until_it_is_closed
            an_upload_is_handed_on_exactly
            an_upload_of_ten_thousand_parts_is_handed_on
            a_withdrawn_upload_is_forgotten
            a_released_writer_leaves_only_its_upload
            failures_are_counted_until_something_settles
            a_parked_record_keeps_its_reason_and_is_never_ended
            open_uploads_are_told_by_destination_bucket
            records_of_different_keys_and_destinations_are_apart
            of_many_that_begin_at_once_one_remains_unfenced
        }
    };
}

mod queues {
    a_queue!(embedded, crate::embedded::queue);
}

mod ledgers {
    a_ledger!(embedded, crate::embedded::ledger);
}
