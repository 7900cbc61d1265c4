//! Scripts and stylesheet, under names that change with their content.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::error::Refusal;
use super::segment::Segment;

/// An asset of the binary.
struct Asset {
    name: String,
    content: &'static str,
    media_type: &'static str,
}

/// The assets that pages refer to.
pub(super) struct Assets {
    css: Asset,
    js: Asset,
    page: Asset,
    site: Asset,
}

/// Those that are built in.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    css: Asset::new("liveops", "css", include_str!("../../assets/liveops.css")),
    js: Asset::new("liveops", "js", include_str!("../../assets/liveops.js")),
    page: Asset::new("page", "js", include_str!("../../assets/page.js")),
    site: Asset::new("site", "js", include_str!("../../assets/site.js")),
});

impl Assets {
    /// The path of the stylesheet below the mount.
    pub(super) fn css(&self) -> String {
        format!("/assets/{}", self.css.name)
    }

    /// The path of the shim below the mount.
    pub(super) fn js(&self) -> String {
        format!("/assets/{}", self.js.name)
    }

    /// The path of the script of an operation's comforts below the mount.
    pub(super) fn page(&self) -> String {
        format!("/assets/{}", self.page.name)
    }

    /// The path of the script of the other pages' comforts below the mount.
    pub(super) fn site(&self) -> String {
        format!("/assets/{}", self.site.name)
    }
}

impl Asset {
    fn new(stem: &str, extension: &str, content: &'static str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
        let hash = digest.as_ref()[..8].iter().fold(String::new(), |mut hash, byte| {
            let _ = write!(hash, "{byte:02x}");
            hash
        });
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        Self { name: format!("{stem}.{hash}.{extension}"), content, media_type }
    }
}

pub(super) async fn serve(Segment(name): Segment) -> Result<Response, Refusal> {
    let mut assets = [&ASSETS.css, &ASSETS.js, &ASSETS.page, &ASSETS.site].into_iter();
    let asset = assets.find(|asset| asset.name == name).ok_or(Refusal::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content).into_response())
}
