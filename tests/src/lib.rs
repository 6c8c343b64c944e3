//! End-to-end tests that run the built programs as a user does.
