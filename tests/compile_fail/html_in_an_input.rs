//! Nothing with HTML in it is read from JSON: whoever sends an input would write the page.

use liveops::progress::{Content, Html, Update};
use serde::de::DeserializeOwned;

fn input<T: DeserializeOwned>() {}

fn main() {
    input::<Html>();
    input::<Content>();
    input::<Update>();
}
