//! One copy of one space, whole: write, read, fold, adopt, recover.
