//! The page at `/`: what runs where, and a box to chat.

use exo_http::{Reply, Route};

const HTML: &str = include_str!("../assets/index.html");
const SCRIPT: &str = include_str!("../assets/page.js");
const STYLE: &str = include_str!("../assets/page.css");

/// Open: the page holds nothing secret and asks for the key itself.
pub(crate) fn routes() -> Vec<Route> {
    let asset = |path, content_type, content| {
        Route::get(path, move |_request| async move { Ok(Reply::asset(content_type, content)) }).open()
    };
    vec![
        asset("/", "text/html; charset=utf-8", HTML),
        asset("/page.js", "text/javascript; charset=utf-8", SCRIPT),
        asset("/page.css", "text/css; charset=utf-8", STYLE),
    ]
}
