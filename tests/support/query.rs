//! A query as a line of text: `www.example.com A subnet=81.2.69.0/24 do`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Question};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption, NSIDPayload};
use hickory_proto::rr::{DNSClass, Name as HickoryName, RecordType};
use ipnet::IpNet;
use rhumb::engine::{Peer, Transport};
use rhumb::wire::Name;

/// Who asks where nothing else is said: an address no geo source of the tests places.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 53));

/// What is asked, how, and by whom.
#[derive(Clone, Debug)]
pub struct Query {
    pub name: Name,
    pub qtype: RecordType,
    pub class: DNSClass,
    pub subnet: Option<IpNet>,
    pub resolver: IpAddr,
    pub transport: Transport,
    /// The UDP size of the OPT record.
    pub udp_octets: Option<u16>,
    pub dnssec_ok: bool,
    pub nsid: bool,
    pub recursion_desired: bool,
    /// Starts the worker's random numbers.
    pub seed: u64,
    /// Asked this often, with seeds that follow on each other.
    pub draws: u64,
    /// Asked by this many subnets that follow on each other.
    pub clients: u32,
    /// The order of records inside an RRset is looked at.
    pub as_sent: bool,
}

impl Query {
    /// `NAME TYPE`, then in any order: `subnet=NET`, `from=ADDRESS`, `tcp`, `udp=OCTETS`, `do`, `nsid`,
    /// `rd`, `class=CH`, `seed=N`, `draws=N`, `clients=N`, `as-sent`.
    pub fn parse(line: &str) -> Query {
        let mut words = line.split_whitespace();
        let mut query = Query {
            name: words.next().expect("a name").parse().unwrap_or_else(|e| panic!("{line}: {e}")),
            qtype: read_type(words.next().unwrap_or_else(|| panic!("{line}: no type"))),
            class: DNSClass::IN,
            subnet: None,
            resolver: RESOLVER,
            transport: Transport::Udp,
            udp_octets: None,
            dnssec_ok: false,
            nsid: false,
            recursion_desired: false,
            seed: 0,
            draws: 1,
            clients: 1,
            as_sent: false,
        };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<u32>().unwrap_or_else(|e| panic!("{word}: {e}"));
            match key {
                "subnet" => query.subnet = Some(value.parse().unwrap_or_else(|e| panic!("{word}: {e}"))),
                "from" => query.resolver = value.parse().unwrap_or_else(|e| panic!("{word}: {e}")),
                "tcp" => query.transport = Transport::Tcp,
                "udp" => query.udp_octets = Some(number() as u16),
                "do" => query.dnssec_ok = true,
                "nsid" => query.nsid = true,
                "rd" => query.recursion_desired = true,
                "class" => query.class = DNSClass::from_str(value).unwrap(),
                "seed" => query.seed = u64::from(number()),
                "draws" => query.draws = u64::from(number()),
                "clients" => query.clients = number(),
                "as-sent" => query.as_sent = true,
                _ => panic!("{line}: what is `{word}`?"),
            }
        }
        query
    }

    /// Whether the query has an OPT record: whether anything it says needs one.
    pub fn has_edns(&self) -> bool {
        self.subnet.is_some() || self.udp_octets.is_some() || self.dnssec_ok || self.nsid
    }

    /// The packet, made by hickory-proto.
    pub fn packet(&self, id: u16) -> Vec<u8> {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.recursion_desired;
        let name = HickoryName::from_labels(self.name.labels()).expect("a name is a name");
        let mut question = Question::query(name, self.qtype);
        question.set_query_class(self.class);
        message.add_query(question);
        if self.has_edns() {
            let mut edns = Edns::new();
            edns.set_max_payload(self.udp_octets.unwrap_or(1232));
            edns.set_dnssec_ok(self.dnssec_ok);
            if let Some(subnet) = self.subnet {
                let subnet = ClientSubnet::new(subnet.network(), subnet.prefix_len(), 0);
                edns.options_mut().insert(EdnsOption::Subnet(subnet));
            }
            if self.nsid {
                edns.options_mut().insert(EdnsOption::NSID(NSIDPayload::new([]).unwrap()));
            }
            message.set_edns(edns);
        }
        message.to_vec().expect("a query fits")
    }

    /// Where it comes from.
    pub fn peer(&self) -> Peer {
        Peer { address: SocketAddr::new(self.resolver, 53_000), transport: self.transport }
    }

    /// The same question by every subnet it is asked for.
    pub fn each_client(&self) -> impl Iterator<Item = Query> {
        let networks = (0..u128::from(self.clients)).map(|step| {
            self.subnet.map(|subnet| {
                let (address, bits) = match subnet.network() {
                    IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
                    IpAddr::V6(v6) => (u128::from(v6), 128),
                };
                let size = 1u128.checked_shl(u32::from(bits - subnet.prefix_len())).unwrap_or(0);
                let address = address + step * size;
                let address = match bits {
                    32 => IpAddr::V4((address as u32).into()),
                    _ => IpAddr::V6(address.into()),
                };
                IpNet::new(address, subnet.prefix_len()).expect("the length is the family's")
            })
        });
        networks.map(|subnet| Query { subnet, ..self.clone() })
    }
}

fn read_type(text: &str) -> RecordType {
    match text.strip_prefix("TYPE").and_then(|number| number.parse::<u16>().ok()) {
        Some(number) => RecordType::from(number),
        None => RecordType::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}")),
    }
}
