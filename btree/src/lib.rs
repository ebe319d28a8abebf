//! A history-independent B-tree whose root hash names its contents.
