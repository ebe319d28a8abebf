//! Admits commits, folds them into the tree, and moves the Handle.
