//! Only `Html::trusted` makes some.

fn main() {
    let _ = liveops::progress::Html("<b>".to_owned());
}
