//! What `liveops::testing` promises to the tests of applications.

mod testing {
    mod client;
    mod clock;
    mod leaps;
    mod page;
    mod recorder;
}
