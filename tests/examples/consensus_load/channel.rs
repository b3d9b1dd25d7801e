//! Connections, made in the same way for both systems: HTTP/2 over TLS with a client certificate. etcd demands the certificate,
//! DSPex does not ask for it.

use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::Failure;
use crate::order::Order;

/// Until a connection stands; a node that is starting takes it, and lets it wait.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What is shown and trusted.
pub fn tls(order: &Order) -> Result<ClientTlsConfig, Failure> {
    let ca = Certificate::from_pem(std::fs::read(&order.ca)?);
    let own = Identity::from_pem(std::fs::read(&order.certificate)?, std::fs::read(&order.key)?);
    Ok(ClientTlsConfig::new().ca_certificate(ca).identity(own))
}

/// A connection of its own.
pub async fn connect(address: &str, tls: &ClientTlsConfig) -> Result<Channel, Failure> {
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_LIMIT)
        .tls_config(tls.clone())?;
    Ok(tokio::time::timeout(CONNECT_LIMIT, endpoint.connect()).await??)
}
