//! Showing a run while it happens: on a terminal, as plain lines, as JSON lines.
//!
//! Every view gets the notes of the event bus and draws until they end. What they show is the fold of the events and
//! nothing else, so all agree. They write to the stream they are given: only the command line knows stdout.
//! [`summary`] is the end of a run in words, the same for terminal and plain lines; [`style`] has colours and signs.

pub mod chart;
pub mod jsonl;
pub mod plain;
pub mod progress;
pub mod style;
pub mod summary;
pub mod terminal;
