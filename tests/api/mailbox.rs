//! A mail server that takes mails or refuses them as it is told (RFC 5321, as far as a sender needs it), and keeps them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What a recipient is answered with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Takes,
    /// With this code.
    Refuses(u16),
    /// Takes the connection and says nothing.
    Silent,
}

#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: String,
    /// As it was sent, with lines ended by `\n`.
    pub(crate) text: String,
}

impl Mail {
    pub(crate) fn header(&self, name: &str) -> String {
        let head = self.text.split("\n\n").next().unwrap().replace("\n ", " ");
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    /// The part for calendars, decoded and unfolded.
    pub(crate) fn calendar(&self) -> String {
        let (_, part) = self.text.split_once("Content-Type: text/calendar").expect("a part for calendars");
        let (head, body) = part.split_once("\n\n").unwrap();
        let body = body.split("\n--").next().unwrap();
        let text = match head.lines().find_map(|line| line.strip_prefix("Content-Transfer-Encoding: ")) {
            Some("base64") => {
                use base64::Engine;
                let bytes = base64::engine::general_purpose::STANDARD.decode(body.replace('\n', "")).unwrap();
                String::from_utf8(bytes).unwrap()
            }
            Some("quoted-printable") => unquoted(body),
            _ => body.to_owned(),
        };
        text.replace("\r\n", "\n").replace("\n ", "")
    }
}

/// RFC 2045 section 6.7.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' && after.len() >= 2 {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone)]
pub(crate) struct Mailbox {
    mails: Arc<Mutex<Vec<Mail>>>,
    mood: Arc<Mutex<Mood>>,
    recipients: Arc<Mutex<usize>>,
    pub(crate) address: SocketAddr,
}

impl Mailbox {
    pub(crate) async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox =
            Self { mails: Arc::default(), mood: Arc::new(Mutex::new(mood)), recipients: Arc::default(), address };
        let server = mailbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                // A sender that goes away in the middle ends its conversation and nothing else.
                tokio::spawn(async move { server.converse(stream).await.ok() });
            }
        });
        mailbox
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }

    /// How often somebody was named as a recipient.
    pub(crate) fn recipients(&self) -> usize {
        *self.recipients.lock().unwrap()
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().unwrap()
    }

    async fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        if self.mood() == Mood::Silent {
            while lines.next_line().await?.is_some() {}
            return Ok(());
        }
        writer.write_all(b"220 mailbox\r\n").await?;
        let mut to = String::new();
        while let Some(line) = lines.next_line().await? {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" | "HELO" => "250 mailbox".to_owned(),
                "RCPT" => {
                    *self.recipients.lock().unwrap() += 1;
                    to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    match self.mood() {
                        // It repeats the address, as real ones do.
                        Mood::Refuses(code) => format!("{code} <{to}> is not wanted here"),
                        _ => "250 ok".to_owned(),
                    }
                }
                "DATA" => {
                    writer.write_all(b"354 go on\r\n").await?;
                    let mut text = String::new();
                    while let Some(line) = lines.next_line().await?.filter(|line| line != ".") {
                        text.push_str(line.strip_prefix('.').unwrap_or(&line));
                        text.push('\n');
                    }
                    self.mails.lock().unwrap().push(Mail { to: to.clone(), text });
                    "250 taken".to_owned()
                }
                "QUIT" => {
                    writer.write_all(b"221 bye\r\n").await?;
                    return Ok(());
                }
                _ => "250 ok".to_owned(),
            };
            writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}
