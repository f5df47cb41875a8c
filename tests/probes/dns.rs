//! Probes over DNS: which responses are an answer.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::{RData, Record};
use rhumb::state::monitors::{Check, DnsAsk, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::{check, said};

/// A name server that answers each query with what is made of it.
async fn name_server(answer: impl Fn(Message) -> Vec<Message> + Send + 'static) -> SocketAddr {
    name_server_at("127.0.0.1", move |query, _| answer(query)).await
}

/// The same, at an address, and by who asks.
pub async fn name_server_at(
    host: &str,
    answer: impl Fn(Message, IpAddr) -> Vec<Message> + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind((host, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            for response in answer(Message::from_vec(&buffer[..length]).unwrap(), peer.ip()) {
                let _ = socket.send_to(&response.to_vec().unwrap(), peer).await;
            }
        }
    });
    address
}

pub fn response(query: &Message, code: ResponseCode, answers: usize) -> Message {
    let mut response = query.clone();
    response.metadata.message_type = MessageType::Response;
    response.metadata.response_code = code;
    let data = RData::A("192.0.2.1".parse().unwrap());
    let name = query.queries[0].name().clone();
    response.add_answers((0..answers).map(|_| Record::from_rdata(name.clone(), 60, data.clone())));
    response
}

#[tokio::test]
async fn dns() {
    let name = "www.example.com.".parse().unwrap();
    let wanted = Check { dns: DnsAsk { name, ..DnsAsk::default() }, ..check(Kind::Dns) };
    for (code, answers, words) in [
        (ResponseCode::NoError, 1, ""),
        (ResponseCode::NoError, 0, "NOERROR without an answer"),
        (ResponseCode::NXDomain, 0, "NXDOMAIN, expected an answer"),
        (ResponseCode::ServFail, 0, "SERVFAIL, expected an answer"),
        (ResponseCode::Refused, 0, "REFUSED, expected an answer"),
    ] {
        let target = name_server(move |query| vec![response(&query, code, answers)]).await;
        assert_eq!(said(&wanted, target).await, words);
    }
    // What is not to our question is passed over: another number, another name, a query.
    let target = name_server(|query| {
        let good = response(&query, ResponseCode::NoError, 1);
        let refused = response(&query, ResponseCode::Refused, 0);
        let (mut number, mut named) = (refused.clone(), refused.clone());
        number.metadata.id = number.metadata.id.wrapping_add(1);
        named.queries[0].set_name("other.example.com.".parse().unwrap());
        vec![number, named, query, good]
    })
    .await;
    assert_eq!(said(&wanted, target).await, "");
    // One without room is asked again over TCP; nobody there, something else there, and the answer.
    let truncated = |query: Message| {
        let mut empty = response(&query, ResponseCode::NoError, 0);
        empty.metadata.truncation = true;
        vec![empty]
    };
    let target = name_server(truncated).await;
    assert_eq!(said(&wanted, target).await, "truncated over UDP, and over TCP: connection refused");
    for (number, words) in [(0, ""), (1, "over TCP the response is to another question")] {
        // The kernel chose the port for UDP; over TCP it may be somebody else's.
        let (target, listener) = loop {
            let target = name_server(truncated).await;
            if let Ok(listener) = TcpListener::bind(target).await {
                break (target, listener);
            }
        };
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut query = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut query).await.unwrap();
            let mut whole = response(&Message::from_vec(&query).unwrap(), ResponseCode::NoError, 1);
            whole.metadata.id = whole.metadata.id.wrapping_add(number);
            let octets = whole.to_vec().unwrap();
            stream.write_u16(octets.len() as u16).await.unwrap();
            stream.write_all(&octets).await.unwrap();
        });
        assert_eq!(said(&wanted, target).await, words);
    }
    let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(said(&wanted, gone).await, "connection refused");
}
