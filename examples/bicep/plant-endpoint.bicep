param aioInstanceName string
param host string

resource aio 'Microsoft.IoTOperations/instances@2026-07-01' existing = {
  name: aioInstanceName
}

resource endpoint 'Microsoft.IoTOperations/instances/dataflowEndpoints@2026-07-01' = {
  parent: aio
  name: 'plant-broker'
  properties: {
    endpointType: 'Mqtt'
    mqttSettings: {
      host: host
      authentication: {
        method: 'X509Certificate'
        x509CertificateSettings: { secretRef: 'plant-client' }
      }
      tls: { mode: 'Enabled' }
    }
  }
}

output name string = endpoint.name
