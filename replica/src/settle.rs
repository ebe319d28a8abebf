//! What a transaction writes to settle a conflict: an ordinary write in place of everything that somebody looked at.

use std::collections::BTreeSet;

use crdt::view::Json;
use crdt::view::map::{self, MARKER, Path};
use crdt::view::set::{Phase, REMOVED};
use crdt::{CollId, Dot, Op, Payload, Policy};
use disk::Disk;

use crate::error::CommitError;
use crate::transaction::{Scope, Transaction, Write, check_key};
use crate::verbs::{field_key, refused};

impl<D: Disk> Transaction<D> {
    /// Sets the value at a key, in place of everything alive there: the losers were looked at.
    pub fn resolve(&mut self, coll: CollId, key: &[u8], value: &[u8]) -> Result<(), CommitError> {
        match self.policy(coll)? {
            None | Some(Policy::Lww | Policy::Mv | Policy::Copies) => {
                self.write(coll, key, value, Scope::Resolved)
            }
            policy => Err(refused(policy, "value")),
        }
    }

    /// Sets a field of a document, in place of everything alive at it and inside it, and of each value above it.
    pub fn resolve_field(&mut self, coll: CollId, key: &[u8], value: &Json) -> Result<(), CommitError> {
        check_key(coll, key)?;
        let Some((document, at)) = map::split(key).filter(|(_, path)| !path.is_empty()) else {
            return Err(CommitError::BadKey);
        };
        if self.policy(coll)? != Some(Policy::Map) {
            return Err(refused(self.policy(coll)?, "field"));
        }
        let parts = self.parts(coll, &document)?;
        let wanted = match value {
            Json::Object(fields) if !fields.is_empty() => map::flatten(fields),
            value => [(Path::new(), value.clone())].into(),
        };
        for (path, values) in &parts.fields {
            let is_replaced =
                path.strip_prefix(at.as_slice()).is_some_and(|inner| !wanted.contains_key(inner));
            // An empty object above is no rival of what lies in it.
            let is_rival = values.iter().any(|value| !matches!(value.json, Json::Object(_)));
            if is_replaced || is_rival && path.len() < at.len() && at.starts_with(path) {
                self.set(coll, &field_key(&document, path)?, Write::Delete);
            }
        }
        for (inner, json) in wanted {
            let path = [at.as_slice(), &inner].concat();
            self.write(coll, &field_key(&document, &path)?, &json.encode(), Scope::Resolved)?;
        }
        Ok(())
    }

    /// Has a document be there with what is alive of it: whoever deleted it had not seen all of that.
    pub fn restore(&mut self, coll: CollId, key: &[u8]) -> Result<(), CommitError> {
        check_key(coll, key)?;
        let (_, document) = self.document_at(coll, key, "restoring")?;
        drop(self.parts(coll, &document)?);
        self.write(coll, key, MARKER, Scope::Resolved)
    }

    /// Does again what a commit did at a key that counts no more, on what is there now. A total of a counter is not: how much
    /// of it still counts is not known.
    pub fn write_again(&mut self, coll: CollId, key: &[u8], op: &Op) -> Result<(), CommitError> {
        check_key(coll, key)?;
        let policy = self.policy(coll)?;
        match (policy, op) {
            (Some(Policy::GCounter | Policy::PnCounter), _) => Err(refused(policy, "total again")),
            (Some(Policy::GSet | Policy::TwoPhaseSet), Op::Put(payload)) => {
                let is_removal = *payload == Payload::Inline(REMOVED.to_vec());
                let phase = if is_removal { Phase::Removed } else { Phase::Present };
                self.set(coll, key, Write::Advance(phase));
                Ok(())
            }
            (Some(Policy::Map | Policy::OrSet), Op::Put(payload)) => {
                let value = self.value(payload)?;
                self.write(coll, key, &value, Scope::AsConfigured)
            }
            // Of a document or a set the commit names each key.
            (Some(Policy::Map | Policy::OrSet), Op::Delete) => {
                self.set(coll, key, Write::Delete);
                Ok(())
            }
            (_, Op::Put(payload)) => {
                let value = self.value(payload)?;
                self.put(coll, key, &value)
            }
            (_, Op::Delete) => self.delete(coll, key),
        }
    }

    /// Takes away these of the writes alive at a key, and leaves the others.
    pub fn discard(&mut self, coll: CollId, key: &[u8], dots: BTreeSet<Dot>) -> Result<(), CommitError> {
        check_key(coll, key)?;
        self.set(coll, key, Write::Discard(dots));
        Ok(())
    }
}
