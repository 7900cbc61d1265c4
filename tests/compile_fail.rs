//! What the types keep people from: each of these programs must not compile, and the compiler says why.

#[test]
fn misuses_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
