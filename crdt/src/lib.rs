//! What a commit is, and what a set of commits means.
