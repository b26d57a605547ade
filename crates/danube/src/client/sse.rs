//! `text/event-stream`, as the HTML standard has it.

use std::io::{self, BufRead, Read};

/// A longer line is none of Danube's.
const LONGEST: u64 = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What it is.
    pub name: String,
    /// What stands in it.
    pub data: String,
    /// What to go on after.
    pub id: String,
}

/// Reads events. One that is not whole is not given.
pub struct Events<R> {
    from: R,
}

impl<R: BufRead> Events<R> {
    /// From a body.
    pub fn new(from: R) -> Self {
        Self { from }
    }

    /// The next event; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        while let Some(line) = self.line()? {
            if line.is_empty() {
                if !event.data.is_empty() || !event.name.is_empty() {
                    return Ok(Some(event));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => value.clone_into(&mut event.id),
                "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                "data" => event.data.extend(["\n", value]),
                // Comments are signs of life.
                _ => {}
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        self.from.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            // Either the end, or a line that was cut.
            return Ok(None);
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        let mut events = Events::new(text.as_bytes());
        std::iter::from_fn(|| events.next().unwrap()).collect()
    }

    fn event(name: &str, data: &str, id: &str) -> Event {
        Event { name: name.into(), data: data.into(), id: id.into() }
    }

    #[test]
    fn events_are_what_stands_between_empty_lines() {
        let text = ": hello\nretry: 1000\n\nid: 1\nevent: job\ndata: {}\n\n:\n\nevent:end\r\ndata:a\r\ndata: b\r\nid: x y\r\n\r\n";
        assert_eq!(events(text), [event("job", "{}", "1"), event("end", "a\nb", "x y")]);
    }

    #[test]
    fn an_event_that_was_cut_is_none() {
        let text = "id: 1\nevent: output\ndata: {\"a\": 1}\n\n";
        for at in 0..text.len() {
            assert_eq!(events(&text[..at]), [], "{at}");
        }
        assert_eq!(events(text).len(), 1);
    }
}
