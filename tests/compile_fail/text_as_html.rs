//! Text is no HTML: only `Html::trusted` vouches for it.

fn show(p: &liveops::Progress) {
    let _ = p.html("note", "<b>");
    let _ = p.swap("note", "<b>");
}

fn main() {}
