// SPDX-License-Identifier: MIT
// A relay on Bun's WebSocket server (uWebSockets): what a client of /publish sends goes to all others, by the server's own
// topics. Started by bench/compare: bun bun.mjs PORT
const port = Number(process.argv[2]);

const server = Bun.serve({
  hostname: "127.0.0.1",
  port,
  fetch(request, self) {
    const publishes = new URL(request.url).pathname === "/publish";
    if (!self.upgrade(request, { data: { publishes } })) return new Response("", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    maxPayloadLength: 16 << 20,
    backpressureLimit: 64 << 20, // as much as ringcast is given in bench/peers/ringcast.yaml
    open(socket) {
      if (!socket.data.publishes) socket.subscribe("bench");
    },
    message(_, message) {
      server.publish("bench", message);
    },
  },
});
