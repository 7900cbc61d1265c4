//! `liveops::Error` takes any error by `?`, and for that is none itself.

fn main() {
    let error = liveops::Error::from("no such table");
    let _: Box<dyn std::error::Error> = Box::new(error);
}
