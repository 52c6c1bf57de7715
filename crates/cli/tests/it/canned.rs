//! An instance whose answers are written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

/// Gives each connection the next answer, whatever it asks; then tells what was asked: the request line, and below it
/// the body if there was one.
pub(crate) fn serve(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        answers
            .iter()
            .map(|answer| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut lines = (&mut reader).lines().map(Result::unwrap);
                let mut asked = lines.next().unwrap();
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let length = head
                    .iter()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                if !body.is_empty() {
                    asked.push('\n');
                    asked.push_str(&String::from_utf8_lossy(&body));
                }
                stream.write_all(answer.as_bytes()).unwrap();
                asked
            })
            .collect()
    });
    (address, asked)
}

pub(crate) fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n{body}")
}

/// An answer in JSON.
pub(crate) fn json(body: &str) -> String {
    answer("200 OK", "application/json", body)
}

/// A refusal as the API words it.
pub(crate) fn refusal(status: &str, message: &str) -> String {
    answer(status, "application/json", &format!("{{\"error\":{{\"message\":{message:?}}}}}"))
}
