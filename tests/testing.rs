//! What `liveops::testing` promises to the tests of applications.

mod testing {
    mod clock;
    mod recorder;
}
