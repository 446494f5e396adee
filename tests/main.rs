//! One test binary: each module is one behaviour that a user can see.
mod tracking_artifacts;
mod tracking_house;
mod tracking_models;
mod tracking_rest;
