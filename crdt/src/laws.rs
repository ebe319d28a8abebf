//! The laws that every set of commits keeps, checked against a naive reference.
