// Three presses: one endpoint of the plant's broker, and a data flow for each press.

@description('Name of the instance of Azure IoT Operations.')
param aioInstanceName string = 'press-hall-ops'

param plantBroker string = 'mqtt.plant.example:8883'

param presses press[] = [
  { name: 'press-01', limit: 1800 }
  { name: 'press-02', limit: 1800, signals: ['force', 'stroke'] }
  { name: 'press-03', limit: 2400 }
]

type press = {
  name: string
  limit: int
  signals: string[]?
}

resource aio 'Microsoft.IoTOperations/instances@2026-07-01' existing = {
  name: aioInstanceName
}

resource profile 'Microsoft.IoTOperations/instances/dataflowProfiles@2026-07-01' = {
  parent: aio
  name: 'presses'
  properties: { instanceCount: 1 }
}

module plant 'plant-endpoint.bicep' = {
  name: 'plant-endpoint'
  params: {
    aioInstanceName: aioInstanceName
    host: plantBroker
  }
}

resource flows 'Microsoft.IoTOperations/instances/dataflowProfiles/dataflows@2026-07-01' = [
  for p in presses: {
    parent: profile
    name: '${p.name}-alarms'
    properties: {
      operations: [
        {
          operationType: 'Source'
          sourceSettings: { endpointRef: 'default', dataSources: ['plant/${p.name}/+'] }
        }
        {
          operationType: 'BuiltInTransformation'
          builtInTransformationSettings: {
            filter: [
              { inputs: ['force'], expression: '$1 < ${p.limit}', description: 'below the limit of the press' }
            ]
            map: map(p.?signals ?? ['force'], signal => { inputs: [signal], output: signal })
          }
        }
        {
          operationType: 'Destination'
          destinationSettings: { endpointRef: plant.outputs.name, dataDestination: 'alarms/${p.name}' }
        }
      ]
    }
  }
]
