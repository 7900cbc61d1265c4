//! The stores: one suite that every backend passes, and what is particular to a SQLite file.

#[path = "store/accounts.rs"]
mod accounts;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/file.rs"]
mod file;
#[path = "store/list.rs"]
mod list;
#[path = "store/operations.rs"]
mod operations;
#[path = "store/queue.rs"]
mod queue;
#[path = "store/removal.rs"]
mod removal;
#[path = "store/repeat.rs"]
mod repeat;

use std::path::PathBuf;
use std::sync::Arc;

use liveops::store::{Accounts, Sqlite, Store};
use tempfile::TempDir;

/// Where a store lasts. Each handle is what another process would have; dropping it is that
/// process's death.
trait Home: Sync {
    fn open(&self) -> (Arc<dyn Store>, Arc<dyn Accounts>);
}

/// A SQLite file in a folder of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn database(&self) -> PathBuf {
        self.0.path().join("liveops.db")
    }
}

impl Home for Folder {
    fn open(&self) -> (Arc<dyn Store>, Arc<dyn Accounts>) {
        let store = Arc::new(Sqlite::open(self.database()).expect("the store opens"));
        (store.clone(), store)
    }
}

macro_rules! suite {
    ($backend:ident, $home:expr, $($module:ident::$test:ident,)*) => {
        mod $backend {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    $module::$test(&$home).await;
                }
            )*
        }
    };
}

suite! {
    sqlite, Folder::new(),
    operations::an_operation_lives_from_creation_to_its_end,
    operations::the_queue_is_in_order_and_only_of_the_kinds_asked_for,
    operations::concurrent_claims_get_different_operations,
    operations::a_late_writer_changes_nothing,
    operations::the_next_operation_is_created_in_the_same_commit,
    operations::cancel_depends_on_the_state,
    operations::a_restart_is_a_new_attempt_and_logs_stay_apart,
    operations::a_log_is_read_from_any_line_on,
    operations::the_version_changes_with_the_store,
    operations::what_was_answered_is_there_after_a_restart,
    operations::only_runs_of_dead_processes_are_orphans,
    operations::one_failing_write_among_many_harms_only_itself,
    operations::a_submission_starts_once,
    list::lists_are_paged_and_of_one_owner,
    list::a_list_is_filtered_and_its_pages_are_those_of_what_is_left,
    list::lists_and_the_queue_are_in_the_order_of_starts_whatever_the_clock_says,
    list::a_glance_tells_what_changed_in_lists,
    list::a_glance_leaves_out_the_kinds_that_it_is_told_to,
    queue::a_kind_runs_as_often_at_once_as_its_limit_says,
    queue::a_user_runs_as_many_at_once_as_the_limit_says,
    queue::a_limit_holds_for_all_processes_together,
    queue::a_user_has_as_many_waiting_as_the_limit_says,
    removal::what_ended_long_ago_is_removed_in_steps,
    removal::what_is_handed_over_keeps_the_uploads_that_it_names,
    removal::a_long_log_is_removed_bit_by_bit_and_seen_by_nobody,
    removal::what_is_run_again_is_not_removed_and_what_is_being_removed_is_not_run_again,
    removal::the_time_of_removal_follows_a_clock_that_leaps_step_by_step,
    removal::a_store_has_one_identity,
    repeat::a_repeatable_run_goes_back_into_the_queue,
    repeat::a_late_writer_changes_nothing_after_a_repeat,
    repeat::a_run_is_put_back_a_few_times_in_a_row,
    repeat::a_run_is_put_back_after_many_stops_but_not_for_ever,
    repeat::only_what_is_known_as_repeatable_and_wanted_is_put_back,
    accounts::users_are_found_by_their_exact_name,
    accounts::a_session_is_kept_with_its_times_until_it_is_closed,
    accounts::a_session_opens_for_a_user_as_they_are_now,
    accounts::an_expired_session_is_left,
    accounts::a_login_link_signs_in_once,
    accounts::a_login_link_used_by_two_signs_in_one,
    accounts::what_is_changed_of_a_user_ends_what_it_must,
}
