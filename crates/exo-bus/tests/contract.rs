//! What holds over every adapter, shown on each of them.

mod contract {
    pub mod fixture;
    mod memory_only;
    pub mod presence;
    pub mod requests;
    pub mod streams;
    pub mod topics;
    mod tunnel;
    mod wire;
    mod zenoh_only;
}

use contract::fixture::{Memory, Zenoh};
use contract::{presence, requests, streams, topics};

/// Runs one promise on both adapters.
macro_rules! promises {
    ($($module:ident :: $promise:ident),+ $(,)?) => {
        mod memory {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$module::$promise(&super::Memory::new()).await;
                }
            )+
        }

        mod zenoh {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$module::$promise(&super::Zenoh::new()).await;
                }
            )+
        }
    };
}

promises!(
    topics::messages_arrive_in_order_at_all_subscribers,
    topics::a_message_of_another_shape_is_told_and_skipped,
    topics::a_slow_reader_is_told_how_much_it_lost,
    topics::a_large_message_arrives_and_a_larger_one_is_refused,
    topics::closing_ends_every_wait,
    requests::a_request_is_answered_refused_or_cannot_be_read,
    requests::a_request_to_nobody_is_unreachable_at_once,
    requests::a_request_without_answer_times_out,
    requests::a_dropped_request_is_refused,
    requests::a_node_can_ask_itself,
    requests::a_server_that_dies_is_unreachable,
    requests::requests_beyond_the_bound_are_refused,
    presence::who_was_there_before_is_seen_first,
    presence::a_changed_payload_is_seen_without_leaving,
    presence::a_dropped_token_leaves,
    presence::a_closed_bus_leaves,
    presence::a_dropped_bus_leaves,
    presence::two_processes_of_one_node_leave_one_by_one,
    presence::a_payload_of_another_shape_is_told_and_skipped,
    streams::items_arrive_in_order_to_the_end,
    streams::a_failing_sender_says_why,
    streams::a_dropped_sender_is_no_good_end,
    streams::a_slow_receiver_holds_the_sender_up,
    streams::dropping_the_receiver_cancels_the_sender,
    streams::a_dead_sender_is_noticed,
    streams::a_dead_receiver_is_noticed,
    streams::many_streams_do_not_mix,
    streams::nothing_for_long_is_told_and_the_stream_goes_on,
    streams::a_node_can_stream_to_itself,
);
