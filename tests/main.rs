//! One test binary: each module is one behaviour that a user can see.
mod tracking_rest;
