//! Tests of what the gateway tells about itself: services, descriptors, who the caller is, receipts.

use chapar_client::CallError;

use crate::stand_in::StandIn;

#[tokio::test]
async fn descriptors_come_with_all_that_they_import_and_keep_the_bus_options() {
    let gateway = StandIn::start().await;
    let client = gateway.client().await;
    assert_eq!(client.list_services().await.unwrap(), ["civil.v1.CivilRegistry"]);
    for pool in [client.descriptors("civil.v1.CivilRegistry").await, client.all_descriptors().await] {
        let pool = pool.unwrap();
        let request = pool.get_message_by_name("civil.v1.GetPersonRequest").unwrap();
        let built = chapar_client::json::to_request(&request, &[("national_id", "۰۰۱۳۵۴۲۴۱۹")]).unwrap();
        assert_eq!(&built[..], b"\x0a\x0a0013542419", "the format is known by the field's option");
    }
    let error = client.descriptors("civil.v1.Nothing").await.unwrap_err();
    assert!(matches!(error, CallError::Refused(_) | CallError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn the_caller_learns_whom_it_is_taken_for() {
    let gateway = StandIn::start().await;
    let me = gateway.client().await.who_am_i().await.unwrap();
    assert_eq!((me.identity.as_str(), me.member.as_str()), ("me", "gov/welfare"));
}

#[tokio::test]
async fn bytes_that_are_no_receipt_are_not_taken_for_one() {
    let gateway = StandIn::start().await;
    let error = gateway.client().await.receipt("log.example/7").await.err().unwrap();
    assert!(matches!(error, CallError::Garbled { .. }), "{error}");
}

#[tokio::test]
async fn a_gateway_without_the_service_refuses() {
    let gateway = StandIn::start().await;
    let error = gateway.client().await.allowed_methods().await.unwrap_err();
    let CallError::Refused(refusal) = error else { panic!("{error}") };
    assert_eq!(refusal.code, 12);
}
