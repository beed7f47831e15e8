//! What the journal promises, on every engine; and what each engine promises beside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod harness;
mod jetstream;
mod nats;
mod promises;
mod sqlite;

/// One test a promise and engine.
macro_rules! promises {
    ($($promise:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::harness::bounded(crate::promises::$promise(crate::harness::Home::sqlite())).await;
            })*
        }

        mod on_jetstream {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::harness::bounded(crate::promises::$promise(crate::harness::Home::jetstream())).await;
            })*
        }
    };
}

promises! {
    what_is_kept_is_given_out_byte_for_byte
    the_events_of_a_key_come_one_after_the_other
    events_without_key_do_not_wait_for_each_other
    a_key_does_not_wait_for_another
    a_dead_target_delays_nobody_else
    a_duplicate_is_kept_once
    a_duplicate_is_found_after_a_restart
    what_is_told_twice_with_something_else_between_is_kept_twice
    what_is_told_again_after_the_window_is_kept_twice
    a_retry_comes_when_it_is_due_and_counts
    a_poison_event_holds_up_its_key_only
    what_was_settled_does_not_come_back_after_a_restart
    what_was_out_comes_back_after_a_restart
    a_restart_keeps_the_order_behind_a_retry
    a_restart_keeps_the_order_of_long_queues
    a_delivery_that_is_dropped_comes_back
    a_delivery_is_settled_once
    a_target_has_one_subscription
    a_subscription_that_is_dropped_hands_back
    next_can_be_given_up_without_loss
    a_new_target_begins_at_the_end
    a_target_that_comes_back_goes_on
    a_target_that_is_gone_gets_nothing
    what_is_skipped_is_settled
    what_is_skipped_after_an_attempt_or_a_replay_is_open_no_more
    a_dead_letter_is_listed_with_its_cause
    a_dead_letter_lets_its_key_go_on
    a_replay_delivers_again
    a_replay_to_another_target_delivers_for_the_first_time
    a_replay_of_what_was_not_delivered_yet_delivers_it_once
    a_replay_comes_before_later_events_of_its_key
    a_discarded_dead_letter_is_gone
    a_dead_letter_of_a_target_that_is_gone_can_be_discarded
    every_attempt_can_be_looked_at
    events_are_found_by_what_they_are
    events_are_found_by_their_state
    events_come_in_pages_newest_first
    stats_tell_how_far_each_target_is
    many_at_once_are_all_kept_and_delivered
    a_closed_journal_does_nothing
}
