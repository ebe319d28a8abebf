//! The first frames of an incoming stream: who calls, and about what, before any session exists.

use crdt::SpaceId;

use crate::frame::{Hello, Join, Open, Payload};
use crate::{Error, Frame, FrameReader};

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// To talk about a space: make a [`crate::Session`] and give it [`Reception::into_bytes`].
    Space {
        /// Who calls.
        hello: Hello,
        /// The space of its Open.
        space: SpaceId,
    },
    /// To be admitted to a space.
    Join {
        /// Who calls.
        hello: Hello,
        /// What it shows.
        join: Join,
    },
}

/// Reads a stream until it is known which space it is about.
///
/// It keeps every byte it was given, since the session of the space starts from the first one. A stranger gets room for
/// one Hello and one Open or Join, and is refused by the header of any other frame.
#[derive(Debug, Default)]
pub struct Reception {
    reader: FrameReader,
    bytes: Vec<u8>,
    hello: Option<Hello>,
}

impl Reception {
    /// Nothing read yet.
    pub fn new() -> Reception {
        Reception::default()
    }

    /// Takes bytes from the caller; `Some` once it is known what it wants.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Arrival>, Error> {
        self.bytes.extend_from_slice(bytes);
        self.reader.feed(bytes);
        loop {
            self.check_number()?;
            let Some(frame) = self.reader.pop()? else { return Ok(None) };
            if let Some(arrival) = self.handle_frame(frame)? {
                return Ok(Some(arrival));
            }
        }
    }

    /// Every byte read so far, for the session.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// By its number alone, before its bytes are gathered: some frames may be a thousand times as long as these.
    fn check_number(&self) -> Result<(), Error> {
        let places: &[u8] =
            if self.hello.is_none() { &[Hello::NUMBER] } else { &[Open::NUMBER, Join::NUMBER] };
        match self.reader.next_number() {
            Some(frame) if !places.contains(&frame) => Err(Error::Unexpected { frame, state: "reception" }),
            _ => Ok(()),
        }
    }

    fn handle_frame(&mut self, frame: Frame) -> Result<Option<Arrival>, Error> {
        match (self.hello.clone(), frame) {
            (None, Frame::Hello(hello)) => {
                self.hello = Some(hello);
                Ok(None)
            }
            (Some(hello), Frame::Open(open)) => Ok(Some(Arrival::Space { hello, space: open.space })),
            (Some(hello), Frame::Join(join)) => Ok(Some(Arrival::Join { hello, join })),
            (_, frame) => Err(Error::Unexpected { frame: frame.number(), state: "reception" }),
        }
    }
}
