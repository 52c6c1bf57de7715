//! Certificates made on the spot.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A certificate authority of one test.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS #8.
    pub key: String,
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Now, and for years.
    Now,
    /// It has expired.
    Past,
    /// Not yet.
    Future,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Self {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key();
        let pem = params.self_signed(&key).expect("the parameters are complete").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.pem
    }

    /// A server certificate for DNS names and IP addresses.
    pub fn server(&self, names: &[&str], validity: Validity) -> Identity {
        let common_name = names.first().copied().unwrap_or("nobody");
        self.sign(params(common_name, names), &[ExtendedKeyUsagePurpose::ServerAuth], validity)
    }

    /// A client certificate whose common name is `name`.
    pub fn client(&self, name: &str, validity: Validity) -> Identity {
        self.sign(params(name, &[]), &[ExtendedKeyUsagePurpose::ClientAuth], validity)
    }

    /// A certificate of a server that is a client of its like as well, as the brokers of a Kafka are.
    pub fn peer(&self, name: &str, validity: Validity) -> Identity {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params(name, &[name]), &usages, validity)
    }

    /// An authority signed by this one.
    pub fn intermediate(&self, name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = new_key();
        let pem = params.signed_by(&key, &self.issuer).expect("the parameters are complete").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usages: &[ExtendedKeyUsagePurpose],
        validity: Validity,
    ) -> Identity {
        params.extended_key_usages = usages.to_vec();
        match validity {
            Validity::Now => {}
            Validity::Past => params.not_after = date_time_ymd(2001, 1, 1),
            Validity::Future => params.not_before = date_time_ymd(2090, 1, 1),
        }
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are complete").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("ring makes P-256 keys")
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are DNS names or IP addresses");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}
