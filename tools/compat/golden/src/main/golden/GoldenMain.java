package golden;

/** Prints every case of the client version on the class path; arguments: prefix of the names, version. */
public final class GoldenMain {
    private GoldenMain() {
    }

    public static void main(String[] args) throws Exception {
        Cases cases = new Cases(args[0], args[1]);
        Frames.addTo(cases);
        Records.addTo(cases);
        Texts.addTo(cases);
        Bodies.addTo(cases);
        Registration.addTo(cases);
        Versioned.addTo(cases);
        cases.print();
    }
}
