# SPDX-License-Identifier: MIT
"""Odd requests, by classes: what a lenient parser might read in another way than a strict one. Each is a whole POST
with one thing changed; PATH and KEY stand for the topic and the key, which differential.py fills in."""

PATH, KEY = b"@PATH@", b"@KEY@"
LINE = b"POST @PATH@ HTTP/1.1"
HOST, CREDENTIAL = b"Host: test", b"X-Ingest-Key: @KEY@"
BODY = b"[1,2]"  # begins like no request
INNER = (b"POST /ingest/v1/plain/inner HTTP/1.1\r\nHost: inner\r\nX-Ingest-Key: @KEY@\r\nContent-Length: 1\r\n\r\nI")
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"

# Bytes that are no token characters (RFC 9110 section 5.6.2), and some that are.
ODD_BYTES = list(range(0, 33)) + [ord(c) for c in "\"(),/:;<=>?@[\\]{}"] + [0x7F, 0x80, 0x85, 0xA0, 0xC3, 0xFF]
ODD_BYTES += [ord(c) for c in "_!#$~"]


def post(*fields, line=LINE, body=BODY, length=None, end=b"\r\n", host=True):
    """A POST with these field lines behind Host and key, and Content-Length unless length is False."""
    lines = [line] + [HOST] * host + [CREDENTIAL, *fields]
    if length is not False:
        lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return end.join(lines) + end + end + body


def framed(*fields, body):
    """A POST whose framing is all in its fields."""
    return post(*fields, body=body, length=False)


def chunk(data, size=None, size_end=b"\r\n", end=b"\r\n"):
    return (b"%x" % len(data) if size is None else size) + size_end + data + end


def controls():
    """Nothing odd: what both have to accept."""
    yield "a length", post()
    yield "chunks", framed(CHUNKED, body=chunk(BODY) + chunk(BODY, b"5;a=b") + END)
    yield "chunks and a trailer", framed(CHUNKED, body=chunk(BODY) + b"0\r\nA: b\r\n\r\n")
    yield "a length, then another request", post() + INNER


def line_ends():
    whole = post()
    yield "CRLF throughout", whole
    for name, end in (("LF", b"\n"), ("CR", b"\r"), ("CRCRLF", b"\r\r\n"), ("LFCR", b"\n\r"), ("NEL", b"\x85"),
                      ("NUL LF", b"\0\n"), ("SP CRLF", b" \r\n"), ("VT", b"\v"), ("FF LF", b"\f\n")):
        yield f"{name} throughout", post(end=end)
        head, body = whole.split(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        for i in range(len(lines)):
            ends = [b"\r\n"] * len(lines)
            ends[i] = end
            yield f"{name} behind line {i}", b"".join(map(b"".join, zip(lines, ends))) + b"\r\n" + body
        yield f"{name} for the empty line", head + b"\r\n" + end + body
    for name, front in (("CRLF", b"\r\n"), ("2 CRLF", b"\r\n" * 2), ("3 CRLF", b"\r\n" * 3), ("LF", b"\n"),
                        ("CR", b"\r"), ("SP CRLF", b" \r\n"), ("NUL", b"\0"), ("SP", b" "),
                        ("byte order mark", b"\xef\xbb\xbf")):
        yield f"{name} in front", front + whole
        yield f"{name} behind", whole + front
        yield f"{name} between two", whole + front + INNER


def request_lines():
    for name, gap in (("2 SP", b"  "), ("TAB", b"\t"), ("SP TAB", b" \t"), ("VT", b"\v"), ("FF", b"\f"), ("CR", b"\r"),
                      ("NUL", b"\0"), ("no-break space", b"\xa0"), ("nothing", b"")):
        yield f"{name} behind the method", post(line=b"POST" + gap + b"@PATH@ HTTP/1.1")
        yield f"{name} behind the target", post(line=b"POST @PATH@" + gap + b"HTTP/1.1")
        if gap:
            yield f"{name} at the end", post(line=LINE + gap)
            yield f"{name} at the front", post(line=gap + LINE)
            yield f"{name} in the target", post(line=b"POST @PATH@" + gap + b"a HTTP/1.1")
    for name, line in (("no version", b"POST @PATH@"), ("no target", b"POST HTTP/1.1"), ("method alone", b"POST"),
                       ("4 words", b"POST @PATH@ a HTTP/1.1"), ("2 versions", b"POST @PATH@ HTTP/1.1 HTTP/1.0")):
        yield name, post(line=line)


def versions():
    for version in (b"HTTP/1.0", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/1.10",
                    b"HTTP/01.1", b"HTTP/1.01", b"http/1.1", b"Http/1.1", b"HTTP/1", b"HTTP/1.", b"HTTP/11", b"HTTP/.1",
                    b"HTTP/1.1a", b"HTTP /1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1,1", b"HTTPS/1.1", b"HTTP/-1.1",
                    b"HTTP/1.-1", b"HTTP/1.1\0", b"XTTP/1.1", b"HTTP", b"HTTP/", b"HTTP/x.y", b"HTTP/1.1;a"):
        yield repr(version), post(line=b"POST @PATH@ " + version)
    old = b"POST @PATH@ HTTP/1.0"
    for value in (b"keep-alive", b"Keep-Alive", b"close", b"keep-alive, close", b"upgrade"):
        yield f"1.0 with Connection {value}", post(b"Connection: " + value, line=old)
    yield "1.0 with chunked", post(b"Connection: keep-alive", CHUNKED, line=old, body=END, length=False)
    yield "1.0 without Host", post(b"Connection: keep-alive", line=old, host=False)
    yield "1.0 with Expect", post(b"Connection: keep-alive", b"Expect: 100-continue", line=old)


def methods():
    for method in (b"post", b"Post", b"POSTX", b"XPOST", b"P", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH",
                   b"TRACE", b"CONNECT", b"QUERY", b"PRI", b"P\0ST", b"(POST)", b"PO-ST", b"PO_ST", b"PO$T",
                   b"P\xc3\x96ST", b"\"POST\"", b"1", b"A" * 100, b"A" * 9000):
        name = repr(method[:12])
        yield f"{name} with a body", post(line=method + b" @PATH@ HTTP/1.1")
        yield f"{name} with a request as body", post(line=method + b" @PATH@ HTTP/1.1", body=INNER)
        yield f"{name} without a body", post(line=method + b" @PATH@ HTTP/1.1", body=b"", length=False)


def field_spaces():
    for name, field in (
        ("none", b"Content-Length:5"), ("TAB behind the colon", b"Content-Length:\t5"),
        ("much", b"Content-Length: \t \t5"), ("behind the value", b"Content-Length: 5 \t"),
        ("before the colon", b"Content-Length : 5"), ("TAB before the colon", b"Content-Length\t: 5"),
        ("before the name", b" Content-Length: 5"), ("TAB before the name", b"\tContent-Length: 5"),
        ("VT behind the colon", b"Content-Length:\v5"), ("FF behind the colon", b"Content-Length:\f5"),
        ("CR behind the colon", b"Content-Length:\r5"), ("no-break space", b"Content-Length:\xa05"),
        ("in the name", b"Content Length: 5"), ("no colon", b"Content-Length 5"),
        ("two colons", b"Content-Length:: 5"), ("equals", b"Content-Length= 5"), ("no name", b": 5"),
        ("colon alone", b":"), ("name alone", b"Content-Length"), ("folded", b"Content-Length:\r\n 5"),
        ("folded with TAB", b"Content-Length:\r\n\t5"), ("folded by LF", b"Content-Length:\n 5"),
        ("folded digits", b"Content-Length: 5\r\n 0"), ("folded twice", b"Content-Length:\r\n \r\n 5"),
        ("blank line of SP", b"Content-Length: 5\r\n "), ("blank line of SP before", b" \r\nContent-Length: 5"),
    ):
        yield f"{name}: length", framed(field, body=BODY)
        coding = field.replace(b"Content", b"Transfer").replace(b"Length", b"Encoding").replace(b"5", b"chunked", 1)
        yield f"{name}: coding", framed(coding, body=chunk(BODY) + END)
        yield f"{name}: coding beside a length", post(coding, body=END + INNER)
    yield "first field folded", b"\r\n".join([LINE, b" Host: a", HOST, CREDENTIAL, b"Content-Length: 5", b"", BODY])
    yield "field folded into a field", post(b"A: b\r\n Transfer-Encoding: chunked", body=END + INNER)


def field_bytes():
    for byte in ODD_BYTES:
        odd = bytes([byte])
        yield f"0x{byte:02x} in a name", post(b"X" + odd + b"Y: v")
        yield f"0x{byte:02x} behind Transfer-Encoding", post(
            b"Transfer-Encoding" + odd + b": chunked", body=END + INNER)
        yield f"0x{byte:02x} before Transfer-Encoding", post(odd + b"Transfer-Encoding: chunked", body=END + INNER)
        yield f"0x{byte:02x} in a value", post(b"X: a" + odd + b"b")
        yield f"0x{byte:02x} before chunked", post(b"Transfer-Encoding:" + odd + b"chunked", body=chunk(BODY) + END,
                                                   length=False)
        yield f"0x{byte:02x} behind chunked", post(b"Transfer-Encoding: chunked" + odd, body=chunk(BODY) + END,
                                                   length=False)
        yield f"0x{byte:02x} behind a length", framed(b"Content-Length: 5" + odd, body=BODY)


def lengths():
    for value in (b"", b" ", b"+5", b"-5", b"-0", b"05", b"0000000000000000000005", b"0x5", b"0b101", b"5.0", b"5,5",
                  b"5, 5", b"5,6", b"5 5", b"5;", b"5a", b"a5", b"1e1", b"5_0", b"\"5\"", b"\xd9\xa5", b"5\0", b"0",
                  b"00", b"4", b"6", b"9223372036854775807", b"9223372036854775808", b"18446744073709551615",
                  b"18446744073709551616", b"18446744073709551621", b"1" + b"0" * 40, b"4294967301"):
        yield f"{value!r}", framed(b"Content-Length: " + value, body=BODY)
        yield f"{value!r} with a request behind", framed(b"Content-Length: " + value, body=BODY + INNER)
    for first, second in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0"), (b"5", b""), (b"5", b"x"),
                          (b"5", b"05")):
        yield f"twice: {first!r} {second!r}", framed(b"Content-Length: " + first, b"Content-Length: " + second,
                                                     body=BODY)
        yield f"twice in other letters: {first!r} {second!r}", framed(
            b"content-length: " + first, b"CONTENT-LENGTH: " + second, body=BODY)
        yield f"twice, apart: {first!r} {second!r}", framed(
            b"Content-Length: " + first, b"A: b", b"Content-Length: " + second, body=BODY + INNER)
    for name in (b"Content_Length", b"Content-Lengths", b"ContentLength", b"X-Content-Length", b"Content-length"):
        yield f"{name!r}", framed(name + b": 5", body=BODY)
    yield "no length, a request behind", framed(body=INNER)


def codings():
    values = (b"chunked", b"Chunked", b"CHUNKED", b"chunked,", b",chunked", b", chunked", b"chunked, identity",
              b"identity, chunked", b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked",
              b"chunked chunked", b"x chunked", b"xchunked", b"chunkedx", b"\"chunked\"", b"'chunked'", b"chunked;q=1",
              b"chunked; a=b", b"chunked\0", b"chunk", b"", b"chun\xe2\x84\xaaed", b"\xc4\x8bhunked",
              b"identity;chunked", b"deflate", b"compress, chunked", b"trailers", b"cow", b"c h u n k e d")
    for value in values:
        yield f"{value!r}", framed(b"Transfer-Encoding: " + value, body=chunk(BODY) + END)
        yield f"{value!r}, then a length", framed(
            b"Transfer-Encoding: " + value, b"Content-Length: 5", body=END + INNER)
        yield f"a length, then {value!r}", framed(
            b"Content-Length: %d" % len(END + INNER), b"Transfer-Encoding: " + value, body=END + INNER)
    for first in (b"chunked", b"identity", b"gzip", b""):
        for second in (b"chunked", b"identity", b"cow", b""):
            yield f"twice: {first!r} {second!r}", framed(
                b"Transfer-Encoding: " + first, b"Transfer-Encoding: " + second, body=chunk(BODY) + END)
    for name in (b"Transfer_Encoding", b"TransferEncoding", b"X-Transfer-Encoding", b"transfer-encoding", b"TE",
                 b"Transfer-Encodin", b"Transfer-Encoding\0"):
        yield f"{name!r}", post(name + b": chunked", body=END + INNER)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\n"):
        yield f"hidden behind {end!r}", post(b"A: b" + end + b"Transfer-Encoding: chunked", body=END + INNER)


def chunks():
    for size in (b"5", b"05", b"000000000000005", b"0000000000000005", b"00000000000000005", b"0" * 40 + b"5", b"5 ",
                 b"5\t", b" 5", b"\t5", b"0x5", b"0X5", b"+5", b"-5", b"5h", b"h5", b"g", b"", b"5.0", b"5,5", b"5 5",
                 b"5_", b"5\0", b"\x005", b"5\v", b"5\f", b"5;", b"5;a", b"5;a=b", b"5;a=\"b\"", b"5;a=\"b;c\"",
                 b"5;a=\"b", b"5 ;a", b"5; a", b"5\t;\ta = b", b"5;;", b"5;=", b"5;\0", b"5;\x01", b"5;\x7f", b"5;\x80",
                 b"5;a\rb", b"5;a\nb", b"5;a\n", b"5\r", b"5;\r", b"5;" + b"a" * 900, b"5;" + b"a" * 3000, b"5=a",
                 b"5 a", b"5\"", b"4", b"6", b"7", b"FFFFFFFF", b"7FFFFFFFFFFFFFFF", b"8000000000000000",
                 b"FFFFFFFFFFFFFFFF", b"10000000000000005", b"100000005", b"FFFFFFFFFFFFFFFB", b"\xd9\xa5"):
        yield f"size {size[:24]!r}", framed(CHUNKED, body=chunk(BODY, size) + END)
        yield f"size {size[:24]!r} with a request behind", framed(CHUNKED, body=chunk(BODY, size) + END + INNER)
    for end in (b"\n", b"\r", b"\r\r\n", b"", b"\n\r", b"\r\n\r\n", b" \r\n", b"\0\r\n", b"X\r\n", b"XY", b"\rX",
                b"X\n"):
        yield f"{end!r} behind a size", framed(CHUNKED, body=chunk(BODY, size_end=end) + END)
        yield f"{end!r} behind the content", framed(CHUNKED, body=chunk(BODY, end=end) + END)
        yield f"{end!r} behind the last size", framed(CHUNKED, body=chunk(BODY) + b"0" + end + b"\r\n")
        yield f"{end!r} for the last line", framed(CHUNKED, body=chunk(BODY) + b"0\r\n" + end)
        yield f"{end!r} for the last line, a request behind", framed(CHUNKED, body=chunk(BODY) + b"0\r\n" + end + INNER)
    for last in (b"00", b"000", b"0" * 16, b"0" * 17, b"0" * 30, b"0;a", b"0 ", b"0 ;a=b", b"-0", b"+0", b"0x0", b"",
                 b" 0", b"0\0"):
        yield f"last size {last!r}", framed(CHUNKED, body=chunk(BODY) + last + b"\r\n\r\n")
    yield "no content", framed(CHUNKED, body=END)
    yield "upper-case digit", framed(CHUNKED, body=chunk(b"1234567890", b"A") + END)
    yield "100 chunks", framed(CHUNKED, body=chunk(b"ab") * 100 + END)
    yield "requests as chunks", framed(CHUNKED, body=chunk(INNER) * 3 + END)


def trailers():
    for trailer in (b"A: b", b"A:", b"A: b\r\nC: d", b"Content-Length: 5", b"Transfer-Encoding: chunked",
                    b"Host: other", b"A : b", b" A: b", b"A: b\r\n c", b"A", b": b", b"A b: c", b"A: \0", b"A: \x01",
                    b"A: \x80", b"A\0: b", b"A: b\rc", b"A: b\nC: d", b"A: b\r\r", b"A: b\n", b"A: " + b"b" * 4000,
                    b"A: " + b"b" * 9000, b"A: b\r\n" * 99 + b"A: b", INNER.replace(b"\r\n\r\n", b"\r\n")):
        body = chunk(BODY) + b"0\r\n" + trailer + b"\r\n\r\n"
        yield f"{trailer[:24]!r}", framed(CHUNKED, body=body)
        yield f"{trailer[:24]!r} with a request behind", framed(CHUNKED, body=body + INNER)
    yield "last line missing", framed(CHUNKED, body=chunk(BODY) + b"0\r\n")
    yield "last chunk missing", framed(CHUNKED, body=chunk(BODY))


def targets():
    for target in (b"http://test@PATH@", b"HTTP://test@PATH@", b"https://test@PATH@", b"hTtP://test@PATH@",
                   b"http://test:80@PATH@", b"http://other@PATH@", b"http://@PATH@", b"http:@PATH@", b"http:/@PATH@",
                   b"//test@PATH@", b"/@PATH@", b"test@PATH@", b"*", b"test:80", b"test", b"ftp://test@PATH@",
                   b"ws://test@PATH@", b"http://u@test@PATH@", b"http://u:p@test@PATH@", b"http://test",
                   b"http://test?a", b"http://test:x@PATH@", b"http://te st@PATH@", b"http://[::1]@PATH@",
                   b"http://[::1@PATH@", b"http://test#a", b"@PATH@#a", b"@PATH@?a=b", b"@PATH@?a?b", b"@PATH@?",
                   b"@PATH@%00", b"@PATH@%0d%0aA:%20b", b"@PATH@%", b"@PATH@%zz", b"@PATH@%2", b"@PATH@\\a",
                   b"@PATH@\xc3\xa9", b"@PATH@{}", b"@PATH@|", b"@PATH@<>", b"@PATH@\"", b"@PATH@^`", b"@PATH@\x01",
                   b"@PATH@\x7f", b"@PATH@\x80", b"@PATH@\0", b"/..@PATH@", b"/.@PATH@", b"/a/..@PATH@",
                   b"/%2e%2e@PATH@", b"@PATH@;a=b", b"", b"?", b"?a=b", b"#", b".@PATH@"):
        yield f"{target!r}", post(line=b"POST " + target + b" HTTP/1.1")


def hosts():
    yield "missing", post(host=False)
    for host in (b"", b" ", b"a", b"a:80", b"a:", b":80", b"a:b", b"a:80x", b"a:99999", b"a:0", b"a:-1", b"a:b:c",
                 b"a b", b"a,b", b"a, b", b"a/b", b"a?b", b"a#b", b"a@b", b"a\\b", b"a\0b", b"a\tb", b"a_b", b"-", b".",
                 b"..", b"a..b", b"[::1]", b"[::1]:80", b"[::1", b"::1", b"[]", b"[::1]x", b"[zz]", b"%41", b"%zz",
                 b"\xc3\xa4", b"a\x7f", b"127.0.0.1", b"\"a\"", b"<a>", b"http://a", b"a;b", b"a" * 5000):
        yield f"{host[:16]!r}", post(b"Host: " + host, host=False)
    for first, second in ((b"a", b"a"), (b"a", b"b"), (b"", b"a"), (b"a", b"")):
        yield f"twice: {first!r} {second!r}", post(b"Host: " + first, b"hOST: " + second, host=False)
    yield "other than the target's", post(line=b"POST http://other@PATH@ HTTP/1.1")
    yield "with space before the colon", post(b"Host : a", host=False)
    yield "and a second with space before the colon", post(b"Host : b")


def connections():
    for value in (b"close", b"Close", b"closed", b"close, keep-alive", b"keep-alive, close", b"keep-alive", b"", b",",
                  b"close;a", b"x-close", b"close close", b"close\t", b"upgrade", b"Transfer-Encoding",
                  b"Content-Length", b"Content-Length, close"):
        yield f"Connection {value!r}", post(b"Connection: " + value)
    yield "Connection twice", post(b"Connection: keep-alive", b"Connection: close")
    for value in (b"100-continue", b"100-Continue", b"100-continue, 100-continue", b"200-ok", b"", b"100-continue;a"):
        yield f"Expect {value!r}", post(b"Expect: " + value)
    yield "Expect twice", post(b"Expect: 100-continue", b"Expect: 100-continue")
    yield "Upgrade: h2c", post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                               b"HTTP2-Settings: AAMAAABkAAQAAP__")
    yield "Upgrade: websocket", post(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "TLS", b"\x16\x03\x01\x00\x05hello"


def sizes():
    for count in (32, 61, 62, 64, 99, 200):
        yield f"{count} more fields", post(*[b"A%d: b" % i for i in range(count)])
    for size in (1000, 8000, 15000, 16000, 16300, 16384, 17000, 40000):
        yield f"a value of {size} bytes", post(b"A: " + b"b" * size)
        yield f"a name of {size} bytes", post(b"A" * size + b": b")
    for size in (100, 1000, 7000, 7980, 8000, 8100, 16384, 40000):
        yield f"a query of {size} bytes", post(line=b"POST @PATH@?" + b"a" * size + b" HTTP/1.1")
    for size in (0, 1, 4096, 65536, 1 << 20):
        yield f"a body of {size} bytes", post(body=b"b" * size)
        yield f"a chunk of {size} bytes", framed(CHUNKED, body=(chunk(b"b" * size) if size else b"") + END)


def sequences():
    yield "two", post() + INNER
    yield "ten", post() + INNER * 9
    for length in (0, 1, 4, 6, len(INNER) - 1, len(INNER), len(INNER) + 1):
        yield f"a length of {length} over a request", post(body=INNER, length=length)
    for length in (0, 3, 5, 9):
        yield f"a length of {length} over a chunked body", post(body=chunk(BODY) + END, length=length)
    yield "chunked, with a request inside and one behind", framed(CHUNKED, body=chunk(INNER) + END + INNER)
    yield "a request behind that is malformed", post() + b"POST\r\n\r\n"
    yield "rubbish behind", post() + b"\0\1\2\3"
    yield "HEAD of the topic, then a request", post(line=b"HEAD @PATH@ HTTP/1.1", body=b"", length=False) + INNER
    yield "GET with a length over a request", post(line=b"GET @PATH@ HTTP/1.1", body=INNER)
    yield "GET with chunks over a request", post(CHUNKED, line=b"GET @PATH@ HTTP/1.1", body=chunk(INNER) + END,
                                                 length=False)
    yield "a body that looks like the end of chunks", post(body=END)


CONTROLS = "nothing odd"
CLASSES = {CONTROLS: controls, "line ends": line_ends, "request line": request_lines, "version": versions,
           "method": methods, "white space": field_spaces, "odd bytes": field_bytes, "Content-Length": lengths,
           "Transfer-Encoding": codings, "chunks": chunks, "trailers": trailers, "target": targets, "Host": hosts,
           "connection": connections, "size": sizes, "sequence": sequences}
