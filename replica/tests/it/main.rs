//! One replica and several, on disks that crash, fail, rot and are copied.

mod adoption;
mod copies;
mod crashes;
mod convergence;
mod damage;
mod notes;
mod space;
mod transactions;
mod values;
