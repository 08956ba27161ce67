// SPDX-License-Identifier: Apache-2.0

// Reads what a listener sends, on its control channel or on a rendezvous: JSON texts, each `response`
// with "body": true followed by one binary message.

/**
 * onResponse(response, body)   body is a Buffer, null where there is none
 * onHead(response)             the JSON came, its body is still to come
 * onRenewal(token)             renewToken
 * onViolation(text)            something the protocol does not allow; tolerated where the service does
 */
export function readResponses(socket, { onResponse, onHead, onRenewal, onViolation }) {
  let awaitingBody = null;

  function readText(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return onViolation('a text message that is not JSON');
    }
    if (awaitingBody) {
      onViolation('a text message between a response and its body');
      awaitingBody = null;
    }

    if (message.renewToken) return onRenewal(message.renewToken.token);
    if (!message.response) return onViolation('a message that is not known');

    if (message.response.body !== true) return onResponse(message.response, null);
    awaitingBody = message.response;
    onHead(message.response);
  }

  function readBody(body) {
    const response = awaitingBody;
    awaitingBody = null;
    // Microsoft's own listener for Node sends an empty one after "body": false.
    if (!response) return onViolation('a binary message that belongs to no response');
    onResponse(response, body);
  }

  socket.on('message', (data, isBinary) => (isBinary ? readBody(data) : readText(data.toString())));
}
