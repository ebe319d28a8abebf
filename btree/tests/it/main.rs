//! Trees beside a `BTreeMap`: every verb, every history, every damage.

mod damage;
mod diffs;
mod golden;
mod model;
mod packs;
mod roots;
mod shapes;
mod spelling;
mod verbs;
