//! Keys that were made for these tests and open nothing. Their PEM labels are put around them here, so
//! that nobody takes this file for a leak.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses its own part"
)]

/// The App's key, in PKCS #1 as GitHub gives it out.
pub(crate) fn ours() -> String {
    pem("RSA ", &OURS)
}

/// The same key in PKCS #8.
pub(crate) fn ours_in_pkcs8() -> String {
    pem("", &OURS_IN_PKCS8)
}

/// Another App's key.
pub(crate) fn other() -> String {
    pem("RSA ", &OTHER)
}

/// A key that is not of RSA.
pub(crate) fn elliptic() -> String {
    pem("", &ELLIPTIC)
}

/// A text that looks like a key with this label.
pub(crate) fn pem(kind: &str, lines: &[&str]) -> String {
    let label = format!("{kind}PRIVATE KEY-----");
    format!(
        "-----BEGIN {label}\n{}\n-----END {label}\n",
        lines.join("\n")
    )
}

/// The public half, as openssl took it from the key, in DER.
pub(crate) const PUBLIC: [&str; 6] = [
    "MIIBCgKCAQEAqwMCttCfxiaa/nYMo0Bes5caK3qNoZ1AlAWCFDmUKmrrbwB8nA8M",
    "s7uv+Xij7v/O8ckJLEXbVpu72B+KwWgQNcv9WdmauBmxinzrXWHbZoC2UFUkypfh",
    "FI7WdkPrNi5rZlqadyLR1wERc4aJq54789LO6g56REvWQf1Vn+QsK4Pxy3On3XL2",
    "l7kI4V2V2597ERa8izZ6knDITF4wsfAt6SMGzdDsae/BZ/k3R5cMTqkgXOYMeO5H",
    "gPLP5Se+rv8RRNMs4JrVQcpFNFxtjbOqaWIZI7SUK30L5KBDtLuNakLR8oKeDgAY",
    "d3s48TRW1JqeUX/eI+vFNdct2xFnfoV8jwIDAQAB",
];

const OURS: [&str; 25] = [
    "MIIEowIBAAKCAQEAqwMCttCfxiaa/nYMo0Bes5caK3qNoZ1AlAWCFDmUKmrrbwB8",
    "nA8Ms7uv+Xij7v/O8ckJLEXbVpu72B+KwWgQNcv9WdmauBmxinzrXWHbZoC2UFUk",
    "ypfhFI7WdkPrNi5rZlqadyLR1wERc4aJq54789LO6g56REvWQf1Vn+QsK4Pxy3On",
    "3XL2l7kI4V2V2597ERa8izZ6knDITF4wsfAt6SMGzdDsae/BZ/k3R5cMTqkgXOYM",
    "eO5HgPLP5Se+rv8RRNMs4JrVQcpFNFxtjbOqaWIZI7SUK30L5KBDtLuNakLR8oKe",
    "DgAYd3s48TRW1JqeUX/eI+vFNdct2xFnfoV8jwIDAQABAoIBADJ03nGjJ2kXDecj",
    "XII0ZVy2qgWHEM/M7ndeEq21+WX0iweCzMFc3WIQcBD6y9+iAWSsbLTv3ZH1vBw9",
    "3jpHYnUE/Xjrr+8+wXf7eJRiYZIiSuhz3rmZy1K9/EADtRwU4SJffDDHiMNXsNb1",
    "rJwCwWyk1+EOKXwKJirtPLzC3VdvCHXD1pvkqThuWDsKDpr5EiPmyOj9+SqUQ3ll",
    "1zJqD5OY8CVXCXMWd2X4M+z9QIE3b74ikwJ4M74JcZUFXqQ5zFI/JiHoLMm8Hy8P",
    "bLfNwaXdck73wgP6T1Z4E93vLYTgtj+Eb1kzBzKspqvpvWkB3v4E6nGl92XnQQL9",
    "CA4pI1kCgYEA4QzL9LQ/aPh9UEk8f2ezQREV8j8HI4ZxSwjEvU4bwaXlbjkKL2i6",
    "MUcUWkGG7M/4WlpkekJnQloTtXSH7W9LHOFGTzPNIUej+KbdaI5CtQ+mFtQ0khGU",
    "egjCvyQoRJC6cI9exCvzgRxurc9ga6/w1wOmxjinRQc/HitEDXbloYkCgYEAwoe4",
    "vYmUSmYQxVu/fjHjzg+ju/t68MDffv1ZFknYK3Kwk0nVVlpUgNMm6kltqHs+E3wV",
    "kFG3zBTATPl3JPWH9BjVzWWLyEzvgneM/WU+lyiW1m/bFLnEg+T35981gwkLkp0+",
    "mJlC+rGCeUqcxC1MTZdCusYRC8Bh1afzYymMH1cCgYAgSS+xaXJ3Yr7Hl9ogBQaI",
    "XSUi3bvucskqFJX0+pGs1Fn32CMH7iRYEXRwBlqO+r8MZ09m4sPhlv6g15jwjTjf",
    "acombq4NCjQR5g55g386boZLXCI2mmMMptkZhtxoCcNVhpv31L5YVXXjZY7VpCYP",
    "Eq0IXvRQSNvbPiXDML180QKBgGg98Ipo4jUoEo6fxrLqKyfuC5Cdh1jiEiHrw0SF",
    "V7iYofSbmR3IFAZgoDbmGEQznqU0Vh3bHIHZEN9uwyDkDfGJKXECnHA+gg5I4B2d",
    "lnfMAWBx2lV14s/G7+2qF/Pa8f+kEboWTuUmIEO87trVZ1Eg4FpT7yh79DFY6bzW",
    "s8bLAoGBAJpwBd/NbPA0fHMboAdKvuKI0SLxRid3+i3zp1JD0mGdRrYnHzWemeSK",
    "FK/yufialD0DaitCursVVpuojhI9KN0hZW3TzHklqhYVRQvJ3ueCU8WqYcRkR03m",
    "sy3o/gc9NCr3KxdzV/yAVg2ShYE5uc7XpMkCWk13AFBb0xvo06rD",
];

const OURS_IN_PKCS8: [&str; 26] = [
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCrAwK20J/GJpr+",
    "dgyjQF6zlxoreo2hnUCUBYIUOZQqautvAHycDwyzu6/5eKPu/87xyQksRdtWm7vY",
    "H4rBaBA1y/1Z2Zq4GbGKfOtdYdtmgLZQVSTKl+EUjtZ2Q+s2LmtmWpp3ItHXARFz",
    "homrnjvz0s7qDnpES9ZB/VWf5Cwrg/HLc6fdcvaXuQjhXZXbn3sRFryLNnqScMhM",
    "XjCx8C3pIwbN0Oxp78Fn+TdHlwxOqSBc5gx47keA8s/lJ76u/xFE0yzgmtVBykU0",
    "XG2Ns6ppYhkjtJQrfQvkoEO0u41qQtHygp4OABh3ezjxNFbUmp5Rf94j68U11y3b",
    "EWd+hXyPAgMBAAECggEAMnTecaMnaRcN5yNcgjRlXLaqBYcQz8zud14SrbX5ZfSL",
    "B4LMwVzdYhBwEPrL36IBZKxstO/dkfW8HD3eOkdidQT9eOuv7z7Bd/t4lGJhkiJK",
    "6HPeuZnLUr38QAO1HBThIl98MMeIw1ew1vWsnALBbKTX4Q4pfAomKu08vMLdV28I",
    "dcPWm+SpOG5YOwoOmvkSI+bI6P35KpRDeWXXMmoPk5jwJVcJcxZ3Zfgz7P1AgTdv",
    "viKTAngzvglxlQVepDnMUj8mIegsybwfLw9st83Bpd1yTvfCA/pPVngT3e8thOC2",
    "P4RvWTMHMqymq+m9aQHe/gTqcaX3ZedBAv0IDikjWQKBgQDhDMv0tD9o+H1QSTx/",
    "Z7NBERXyPwcjhnFLCMS9ThvBpeVuOQovaLoxRxRaQYbsz/haWmR6QmdCWhO1dIft",
    "b0sc4UZPM80hR6P4pt1ojkK1D6YW1DSSEZR6CMK/JChEkLpwj17EK/OBHG6tz2Br",
    "r/DXA6bGOKdFBz8eK0QNduWhiQKBgQDCh7i9iZRKZhDFW79+MePOD6O7+3rwwN9+",
    "/VkWSdgrcrCTSdVWWlSA0ybqSW2oez4TfBWQUbfMFMBM+Xck9Yf0GNXNZYvITO+C",
    "d4z9ZT6XKJbWb9sUucSD5Pfn3zWDCQuSnT6YmUL6sYJ5SpzELUxNl0K6xhELwGHV",
    "p/NjKYwfVwKBgCBJL7FpcndivseX2iAFBohdJSLdu+5yySoUlfT6kazUWffYIwfu",
    "JFgRdHAGWo76vwxnT2biw+GW/qDXmPCNON9pyiZurg0KNBHmDnmDfzpuhktcIjaa",
    "Ywym2RmG3GgJw1WGm/fUvlhVdeNljtWkJg8SrQhe9FBI29s+JcMwvXzRAoGAaD3w",
    "imjiNSgSjp/GsuorJ+4LkJ2HWOISIevDRIVXuJih9JuZHcgUBmCgNuYYRDOepTRW",
    "HdscgdkQ327DIOQN8YkpcQKccD6CDkjgHZ2Wd8wBYHHaVXXiz8bv7aoX89rx/6QR",
    "uhZO5SYgQ7zu2tVnUSDgWlPvKHv0MVjpvNazxssCgYEAmnAF381s8DR8cxugB0q+",
    "4ojRIvFGJ3f6LfOnUkPSYZ1GticfNZ6Z5IoUr/K5+JqUPQNqK0K6uxVWm6iOEj0o",
    "3SFlbdPMeSWqFhVFC8ne54JTxaphxGRHTeazLej+Bz00KvcrF3NX/IBWDZKFgTm5",
    "ztekyQJaTXcAUFvTG+jTqsM=",
];

const OTHER: [&str; 25] = [
    "MIIEowIBAAKCAQEA62oyX6TGynKBCQFFfvN2Er+Ajp3gwJCVaoCJ27K338CeICcN",
    "MBYtrJE+yS/1sNaTuRPTB6tbKPSJv62ycfCZ2boYs2f6dcQlTWWcq1VX7hPb9TwW",
    "jnWO0LBCZl0FoX7viAwdXs4KKgLeqbOVVf68F2Zkpr9p4doAk1K7vZSsi96BbhxW",
    "FahUqbgx5d3iARCT3HOvqa1QCqcCa/rU3eHCwQSl3I0ExIckgAdjb0z4Uykcpq3S",
    "BEiAhnDagG8zDFGLJinYl/I+Hvj4jgLvmwxlaFvXEH2dDfuAcsRu6AAzPInd/Kcn",
    "trexU+VHlGbywvDpQ6KJ5G2B4m2vOmWcnn3WCQIDAQABAoIBAAJ/rfFzMqt5L+qw",
    "LWRJsgQErZkF7rnohvd6jgwLj3VT6nHBrFuJbrptT77rsAZMnsSJA/VJwbXTc6dZ",
    "0QIx2TY1ChhUZxWLK5Cw3or4hM6Jfi0SElS4hXesWUYUIHBMhD8bzs9/7R5xSZsA",
    "RZpkMeunKfQVpcpwiY9GwmiinHq/EIaZY3lOs+MNgm2LGW71nlaVjEJVy8o+kP0N",
    "vkOsqKveoy7ZSpoIIV++OpbEMYmrrpQ03At4h7WKTG7OF4U95N+ZJVQAMTvYJPqd",
    "yqtbyEAFkjWTc4MoU6GI4APnUAU7wmuZNnWhV5JOKdlYXkjv7TIUIQyyGeJq2jrI",
    "sfWxj8ECgYEA/TsQumdiwusiXwspp2mjSarIge4e6lX5OuKLfs7IQYUgO9FRE7nm",
    "vxP9Dj9vXyOg5skSXNZu5ons19xvvH/Kt5+EvmvJOEGhTHhKV+4UydfxtdFITaJr",
    "x3kaVn94wC9pvUuvyVToYrc5Wv8O/R8ZdfkZ2VGQl2QtSjk95Nbmw0kCgYEA7f1B",
    "OCcZeVyMK55LK1fhGtRfeKqnPPqzTlLt9D5TYsUvm5fHb+78bziSj1XCWGtMryrd",
    "7grQqCzQkTVDMijTg87Ex1C5YdrPqfb7+NJ5+5iToWZXu6saZ1+Cm4C+T8A+2Kij",
    "EnHkNau4PelPFE2CqomTLU2TJUbS/oIgOM9DvMECgYEA9xNSVw3YxuY1OxbhJX9k",
    "2tPPnzZ+45XO/y1bffa0XXlO4g5xVRXlljoihmxOdj2FGKjHSd3PhxC8DkH+o6Ts",
    "Xg0+r6zrQACJKNuVbgXWMrqIFCaGrXj0QERg9lSZtKqOOSxH7+DwfKDZTXffYAmg",
    "BgNuvSNgONZ9ehYv1b/4mEECgYBMsr7PGwLBswrVj9lH6bV5URJHsC/fniglSOK5",
    "QVDcVxJFwb+bmliue3v4R7ovhr0bAuStL70ZRgAdnB3Az5mDNCME3UYxfDRK4XdJ",
    "NIPtirmhXXtO1xDWWdicxvwOdbWLW6XabuwOQ/5HraY3s9c1oMrW4dZXQCEFtugt",
    "htacwQKBgEmydbsJMQPARDGCyZkv8cZPyRiSqkIxhcZYuJdpzxHUOnlldjIN3SqB",
    "h6hVTqLN4yihxCKlFlrZkmfcLhQ615WAXaavA3yq0tTdxUstdqMPAk/RYOG9/2qx",
    "b40lHgf6OdOU7UV9rvbFN0oWvfPe+q2ZmaourUYpBX0AQOo5Tyxn",
];

const ELLIPTIC: [&str; 3] = [
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg8LVMOjqLj0+dpBuM",
    "3bCctyfW/YucYdoIvQW5mgvUSvuhRANCAARGh/CcdUyd+75SPoF9WHqzdvuBoMSH",
    "7g/A0zHQqYK6J1Dxk2UPZTyBpHC2evL4pYmJYBJVGvAMohollzIA8bp+",
];
