//! One suite a trait, run over every implementation: what `store.rs`, `queue.rs` and `ledger.rs` of the agent promise.
//!
//! A fact is a function; a suite lists its facts once; an implementation is one line. A fact that is not listed is dead
//! code, and the compiler says so.

mod directory;
mod embedded;
mod foreign;
mod ledger;
mod letters;
mod ministack;
mod queue;
mod remote;
mod store;

/// One test for each fact, on a fresh subject each.
macro_rules! facts {
    ($suite:path, $name:ident, $make:path; $($fact:ident)*) => {
        mod $name {
            use $suite as suite;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                suite::$fact($make().await).await;
            })*
        }
    };
}

macro_rules! a_queue {
    ($name:ident, $make:path) => {
        facts! { crate::queue, $name, $make;
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

macro_rules! dead_letters {
    ($name:ident, $make:path) => {
        facts! { crate::letters, $name, $make;
            a_parked_message_is_taken_once_with_its_reason
            a_letter_that_is_given_back_can_be_taken_again_at_once
            a_redriven_letter_is_a_message_again_and_the_others_stay_letters
            a_discarded_letter_is_gone
        }
    };
}

macro_rules! a_ledger {
    ($name:ident, $make:path) => {
        facts! { crate::ledger, $name, $make;
            an_unknown_key_is_not_known_and_has_no_past
            what_was_published_is_told_to_the_next_writer
            beginning_makes_a_record_live_and_settling_ends_it
            finding_the_same_state_again_keeps_its_digests
            beginning_fences_every_earlier_writer
            others_that_are_open_are_told_until_they_are_closed
            a_finished_writer_can_do_no_more
            a_fenced_writer_that_ends_is_closed_but_settles_nothing
            a_writer_in_doubt_stays_open_until_it_is_closed
            fault_b2_very_many_open_writers_are_closed_at_once
            fault_b2_a_writer_that_is_released_closes_others
            an_upload_is_handed_on_exactly
            an_upload_of_ten_thousand_parts_is_handed_on
            a_withdrawn_upload_is_forgotten
            a_released_writer_leaves_only_its_upload
            failures_are_counted_until_something_settles
            an_object_that_was_parked_has_all_its_attempts_again
            when_it_last_ended_is_told_to_everybody_who_begins
            a_parked_record_keeps_its_reason_and_is_never_ended
            why_something_was_skipped_is_known_until_it_is_copied
            open_uploads_are_told_by_destination_bucket
            the_uploads_of_a_parked_object_are_nobodys_until_they_are_taken_over
            records_of_different_keys_and_destinations_are_apart
            two_destinations_of_one_source_neither_fence_nor_close_each_other
            fault_c10_what_is_refused_leaves_the_record_of_a_good_copy_alone
            of_many_that_begin_at_once_one_remains_unfenced
            a_note_is_kept_changed_and_taken_away
            a_note_changes_only_if_it_is_as_expected
            of_many_that_set_a_note_at_once_one_does
            notes_are_no_records
        }
    };
}

/// The facts of a store, once: `$each` makes of them what is tested.
macro_rules! store_facts {
    ($each:ident $arguments:tt) => {
        $each! { $arguments
            objects {
                what_is_written_is_read_back
                an_empty_object_is_an_object
                a_write_replaces_the_whole_object
                odd_keys_are_kept_byte_for_byte
                keys_that_look_alike_are_different_objects
                metadata_comes_back
                provenance_comes_back_and_is_no_users_metadata
                the_checksums_told_are_those_of_the_bytes
                a_body_that_breaks_off_publishes_nothing
                a_body_of_another_length_than_announced_publishes_nothing
                nothing_there_is_no_error
                a_missing_bucket_is_told_as_such
                a_range_is_read_and_no_more
                a_pinned_read_gives_that_state_or_says_that_it_changed
                what_is_opened_tells_the_same_as_a_look
            }
            options {
                objects_are_encrypted_by_the_service_s_own_keys_where_that_is_asked_for
                under_a_key_of_kms_an_etag_is_never_taken_for_an_md5
                a_canned_acl_is_taken_with_small_and_large_objects
            }
            conditions {
                the_capabilities_are_those_of_the_table
                a_write_that_expects_nothing_replaces_nothing
                a_write_that_expects_a_revision_replaces_only_that
                of_many_that_expect_nothing_one_writes
                a_delete_that_expects_a_revision_removes_only_that
                deleting_nothing_is_no_error
                a_revision_of_nobodys_making_is_refused_and_harmless
            }
            listing {
                an_empty_bucket_lists_nothing
                keys_come_in_the_order_of_their_bytes
                a_row_tells_what_a_look_tells
                more_than_a_page_is_listed_without_gap_or_repeat
                a_listing_goes_on_after_any_key_there_or_not
                a_prefix_is_bytes_and_no_folder
            }
            multipart {
                parts_in_parallel_and_out_of_order_make_the_object
                a_part_sent_again_replaces_the_first
                one_part_alone_is_an_object
                a_part_that_breaks_off_is_not_stored
                the_parts_are_listed_as_they_were_answered
                finishing_with_a_wrong_etag_publishes_nothing
                a_whole_digest_that_disagrees_with_the_parts_is_told
                a_finish_that_expects_nothing_replaces_nothing
                an_aborted_upload_is_gone
                a_finished_upload_is_gone_and_its_object_stays
                open_uploads_are_listed_by_prefix
                an_upload_id_of_nobodys_making_is_gone
            }
        }
    };
}

/// Every fact a test of its own, on a fresh store.
macro_rules! each_alone {
    (($name:ident, $make:path) $($group:ident { $($fact:ident)* })*) => {
        mod $name { $(facts! { crate::store::$group, $group, $make; $($fact)* })* }
    };
}

/// All facts in one test, in buckets of one foreign server: it takes seconds to start.
macro_rules! all_on_one {
    (($name:ident, $server:path) $($group:ident { $($fact:ident)* })*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let mut fixture = crate::foreign::ForeignFixture::<$server>::start().await;
            $($(fixture.hold(stringify!($group::$fact), crate::store::$group::$fact).await;)*)*
            fixture.end();
        }
    };
}

mod stores {
    store_facts! { each_alone (directory, crate::directory::store) }
    store_facts! { each_alone (gcs, crate::remote::gcs) }
    store_facts! { each_alone (s3, crate::remote::s3_peer) }
    store_facts! { all_on_one (seaweedfs, sandbox::SeaweedFs) }
    store_facts! { all_on_one (juicefs, sandbox::JuiceFs) }
    store_facts! { all_on_one (rclone_serve_s3, sandbox::Rclone) }
    store_facts! { all_on_one (moto, sandbox::Moto) }
    store_facts! { all_on_one (s3s_fs, crate::foreign::Files) }
}

mod queues {
    a_queue!(embedded, crate::embedded::queue);
    a_queue!(embedded_by_socket, crate::embedded::remote_queue);
    a_queue!(sqs_on_ministack, crate::ministack::queue);
}

mod dead_letters {
    dead_letters!(embedded, crate::embedded::letters);
    dead_letters!(embedded_by_socket, crate::embedded::remote_letters);
    dead_letters!(sqs_on_ministack, crate::ministack::letters);
}

mod ledgers {
    a_ledger!(embedded, crate::embedded::ledger);
    a_ledger!(embedded_by_socket, crate::embedded::remote_ledger);
    a_ledger!(dynamodb_on_ministack, crate::ministack::ledger);
}
