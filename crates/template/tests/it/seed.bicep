targetScope = 'resourceGroup'
metadata name = 'everything at once'
import { shared as other } from 'types.bicep'
import * as types from 'types.bicep'

@export()
type shared = { @minValue(1) a: int, *: string } | 'x' | [int, string?] | shared[]?
@export()
func twice(x string, n int) string => n > 0 ? '${x}${twice(x, n - 1)}' : x
@allowed(['a', 'b'])
@secure()
param secret string = 'a'
param list array = [1, -2, 'three', null, true, { key: [{}] }]
var text = '''
several
lines'''
var dollars = $'''a ${1 + 2} $b'''
var escaped = 'a\u{b0}\'\\\$${text}\n'
var numbers = [for (n, i) in range(0, 5): n * i % 3]
var sum = reduce(numbers, 0, (a, b) => a + b)
var nested = toObject(list, x => string(x), x => { ...{ a: x }, b: numbers[^1] })
var safe = nested.?a.b[?0].c ?? (list[0] == 1 || 'A' =~ 'a' && !(1 >= 2) ? types.shared : sys.length(list))

resource aio 'Microsoft.IoTOperations/instances@2026-07-01' existing = {
  name: 'ops'
  resource profile 'dataflowProfiles' = if (length(list) > 2) {
    name: 'p${uniqueString(aio.id)}'
    properties: nested
    resource flow 'dataflows' = {
      name: toLower(profile.name)
      properties: { a: list, b: mods[0].outputs.x, c: aio::profile.name }
    }
  }
}

module mods 'm.bicep' = [for x in list: { name: 'm', params: { list: x } }]
output x object = mods[1].outputs.x
output y string = loadTextContent('a.txt')
#disable-next-line no-unused
assert fine = true
