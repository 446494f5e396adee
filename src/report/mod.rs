//! Shows a run while it happens: on a terminal, as plain lines, or as JSON lines.
//!
//! Every view gets the notes of the event bus and draws until they end. Views show only the fold of the events, so
//! all of them agree. They write to the stream that they get, because only the command line knows stdout. [`summary`]
//! describes the end of a run, for terminal and plain lines; [`style`] has colours and signs.

pub mod chart;
pub mod jsonl;
pub mod plain;
pub mod progress;
pub mod style;
pub mod summary;
pub mod terminal;
pub mod trials;
