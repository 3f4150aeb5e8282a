//! The tree view.

use tracing_conversation::console::TreeExporter;

use crate::scenes;
use crate::spans::{Caught, export};

#[test]
#[ignore = "not a test: shows the view to whoever changes it"]
fn show() {
    let width = std::env::var("WIDTH")
        .ok()
        .and_then(|width| width.parse().ok())
        .unwrap_or(80);
    let caught = Caught::default();
    let exporter = TreeExporter::to_writer(caught.clone())
        .with_width(width)
        .with_colour(true);
    for batch in scenes::all() {
        export(&exporter, batch).unwrap();
    }
    println!("{}", caught.take());
}
