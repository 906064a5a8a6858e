// SPDX-License-Identifier: MIT
// A relay on npm's ws: what a client of /publish sends goes to all others, in the loop that its manual gives.
// Started by bench/compare: node ws.mjs PORT
import { WebSocketServer } from "ws";

const subscribers = new Set();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  backlog: 4096,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: 16 << 20,
});

server.on("connection", (socket, request) => {
  socket.on("error", () => {}); // a reset is followed by "close"
  if (request.url === "/publish") {
    socket.on("message", (data, binary) => {
      for (const subscriber of subscribers) subscriber.send(data, { binary });
    });
    return;
  }
  subscribers.add(socket);
  socket.on("close", () => subscribers.delete(socket));
});
