//! Looking into runs and keeping them in order.
