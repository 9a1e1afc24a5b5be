// Speaks to a Vault with node-vault, for the tests of the Vault-compatible API. See rig/go/vault-client/main.go for the commands.
'use strict'
const fs = require('node:fs')
const https = require('node:https')

const agent = new https.Agent({ keepAlive: true, ca: fs.readFileSync(process.env.VAULT_CACERT) })
const vault = require('node-vault')({
  apiVersion: 'v1',
  endpoint: process.env.VAULT_ADDR,
  token: process.env.VAULT_TOKEN,
  requestOptions: { httpsAgent: agent },
})
const kind = (error) => `ApiResponseError ${error.response ? error.response.statusCode : error.code}`

async function main([command, argument]) {
  if (command === 'login') {
    const jwt = fs.readFileSync(argument, 'utf8')
    const answer = await vault.kubernetesLogin({ role: 'ci', jwt, mount_point: 'kubernetes' })
    console.log(answer.auth.client_token)
  } else if (command === 'read') {
    console.log(JSON.stringify((await vault.read(`claviger/data/${argument}`)).data.data))
  } else {
    for (const line of fs.readFileSync(argument, 'utf8').split('\n').filter(Boolean)) {
      console.log(await vault.read(`claviger/data/${line}`).then(() => 'ok', kind))
    }
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.log(`${kind(error)}: ${error.message}`)
  process.exitCode = 1
})
